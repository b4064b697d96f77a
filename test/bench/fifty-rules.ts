import type { NodeEvent } from '@openline/packs';

/** A pack of 50 rules, of four kinds, over the same log. Every event of `sampleEvents` matches exactly one of them, and all others must be ruled out. */
export const RULES = 50;

/** @param more further rules, as YAML */
export function packOfRules(log: string, more = ''): string {
  const rules = Array.from({ length: RULES }, (_, i) => {
    const alert = `alert: {severity: warning, title: 'Rule ${i}: \${event.message}', key: event.source}`;
    const pattern = `on: {log: ${log}, pattern: 'failure ${i} of (?P<what>\\S+) at (?P<place>\\S+)'}`;
    switch (i % 4) {
      case 0:
        return `  rule-${i}:\n    title: T\n    ${pattern}\n    ${alert}`;
      case 1:
        return `  rule-${i}:\n    title: T\n    on: {log: ${log}, where: event.data.code == ${i}}\n    ${alert}`;
      case 2:
        return `  rule-${i}:\n    title: T\n    ${pattern}\n    threshold: {count: 5, within: 1m, by: match.place}\n    ${alert}`;
      default:
        return `  rule-${i}:\n    title: T\n    on: {log: ${log}, source: 'unit-${i}', level: error}\n    ${alert}`;
    }
  });
  return `apiVersion: openline.dev/v1
kind: Pack
metadata: {name: bench, version: 1.0.0, title: Bench}
rules:
${rules.join('\n')}
${more}`;
}

/** A thousand different ones. */
export function sampleEvents(log: string): readonly NodeEvent[] {
  return Array.from({ length: 1000 }, (_, n) => {
    const i = n % RULES;
    return {
      log,
      source: `unit-${i}`,
      id: '',
      level: 'error',
      atUnixMs: n,
      message:
        i % 4 === 0 || i % 4 === 2
          ? `failure ${i} of disk-${n % 7} at rack-${n % 11}: I/O error, sector ${n}`
          : `unit ${i} said ${n}`,
      data: i % 4 === 1 ? { code: i } : { code: 0 },
    };
  });
}
