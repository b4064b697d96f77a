import type { EventLevel } from '@openline/packs';

// Not from packs: its parser would come along, and be most of an idle agent's memory.
export const LEVELS = {
  debug: 'debug',
  info: 'info',
  warning: 'warning',
  error: 'error',
  critical: 'critical',
} as const satisfies { [L in EventLevel]: L };

export function isLevel(value: unknown): value is EventLevel {
  return typeof value === 'string' && Object.hasOwn(LEVELS, value);
}

/** Of syslog, the journal and the kernel: 0 (emergency) to 7 (debug). */
export function levelOfSeverity(severity: number): EventLevel {
  if (severity <= 2) return 'critical';
  if (severity === 3) return 'error';
  if (severity === 4) return 'warning';
  return severity >= 7 ? 'debug' : 'info';
}
