import type { EventLevel, NodeEvent } from '@openline/packs';
import { LEVELS } from '../levels.ts';
import { boundedEvent } from '../read/bounds.ts';
import { isCount, isObject } from '../read/position.ts';

/** What the PowerShell script says: an event; where the log ends; or that it was emptied. */
export type Said =
  | { readonly kind: 'event'; readonly record: number; readonly event: NodeEvent }
  | { readonly kind: 'end'; readonly record: number }
  | { readonly kind: 'emptied' };

/** @returns undefined: it is none of these */
export function parseSaid(line: string): Said | undefined {
  let said: unknown;
  try {
    said = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(said)) return undefined;
  if (said['emptied'] === true) return { kind: 'emptied' };
  if (isCount(said['end'])) return { kind: 'end', record: said['end'] };
  const { record, provider, id, level, at, message, computer, values } = said;
  if (!isCount(record) || typeof provider !== 'string') return undefined;
  const atUnixMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(atUnixMs)) return undefined;
  const event = {
    log: 'windows',
    source: provider,
    id: String(id ?? ''),
    level: levelOf(level),
    atUnixMs,
    message: typeof message === 'string' ? message : '',
    data: { record, computer, values: Array.isArray(values) ? values.map(String) : [] },
  };
  return { kind: 'event', record, event: boundedEvent(event) };
}

/** 1 critical, 2 error, 3 warning, 4 information, 5 verbose; 0 is said by what does not know. */
function levelOf(level: unknown): EventLevel {
  switch (level) {
    case 1:
      return LEVELS.critical;
    case 2:
      return LEVELS.error;
    case 3:
      return LEVELS.warning;
    case 5:
      return LEVELS.debug;
    default:
      return LEVELS.info;
  }
}
