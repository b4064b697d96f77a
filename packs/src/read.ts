import { didYouMean } from '@openline/proto/suggest';
import { formatDuration, parseDuration } from './duration.ts';
import type { Entry, Located, Report } from './source.ts';

/** Small readers, each of which reports what does not fit and then gives undefined, so that one pass finds every problem. */

export type Fields<K extends string> = { readonly [P in K]?: Entry };

/** A mapping with these fields and no other. */
export function fieldsOf<K extends string>(
  report: Report,
  node: Located | undefined,
  what: string,
  known: readonly K[],
): Fields<K> {
  const entries = entriesOf(report, node, what);
  const fields: { [P in K]?: Entry } = {};
  for (const [key, entry] of entries) {
    const name = known.find((k) => k === key);
    if (name !== undefined) fields[name] = entry;
    else report.add(entry.keyAt, `unknown field '${key}' in ${what}${didYouMean(key, known)}`);
  }
  return fields;
}

export function entriesOf(report: Report, node: Located | undefined, what: string): ReadonlyMap<string, Entry> {
  if (node === undefined) return new Map();
  if (node.kind === 'map') return node.entries;
  report.add(node.at, `${what} must be a mapping (key: value)`);
  return new Map();
}

export function itemsOf(report: Report, node: Located | undefined, what: string): readonly Located[] {
  if (node === undefined) return [];
  if (node.kind === 'list') return node.items;
  report.add(node.at, `${what} must be a list`);
  return [];
}

/** @param maxChars the text has at least one character, and at most this many */
export function textOf(report: Report, node: Located | undefined, what: string, maxChars: number): string | undefined {
  if (node === undefined) return undefined;
  if (node.kind !== 'scalar' || typeof node.value !== 'string') {
    const quote = node.kind === 'scalar' && node.value !== null ? ' (put it in quotes)' : '';
    report.add(node.at, `${what} must be text${quote}`);
    return undefined;
  }
  const text = node.value;
  if (text.trim() === '') report.add(node.at, `${what} is empty`);
  else if (text.length > maxChars) {
    report.add(node.at, `${what} has ${text.length} characters; at most ${maxChars} are allowed`);
  } else if (text.includes('\0')) report.add(node.at, `${what} contains a NUL character`);
  else return text;
  return undefined;
}

export function choiceOf<T extends string>(
  report: Report,
  node: Located | undefined,
  what: string,
  choices: readonly T[],
): T | undefined {
  if (node === undefined) return undefined;
  const value = node.kind === 'scalar' ? node.value : undefined;
  const choice = choices.find((c) => c === value);
  if (choice === undefined) {
    const hint = typeof value === 'string' && choices.length > 1 ? didYouMean(value, choices) : '';
    report.add(node.at, `${what} must be ${oneOf(choices)}${hint}`);
  }
  return choice;
}

export function booleanOf(report: Report, node: Located | undefined, what: string): boolean | undefined {
  if (node === undefined) return undefined;
  if (node.kind === 'scalar' && typeof node.value === 'boolean') return node.value;
  report.add(node.at, `${what} must be true or false`);
  return undefined;
}

export function integerOf(
  report: Report,
  node: Located | undefined,
  what: string,
  min: number,
  max: number,
): number | undefined {
  if (node === undefined) return undefined;
  const value = node.kind === 'scalar' ? node.value : undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  report.add(node.at, `${what} must be a whole number from ${min} to ${max}`);
  return undefined;
}

/** "30s", "1h30m", "7d", as milliseconds. The range is in milliseconds, too. */
export function durationOf(
  report: Report,
  node: Located | undefined,
  what: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  if (node === undefined) return undefined;
  const ms = parseDuration(node.kind === 'scalar' ? String(node.value) : '');
  if (ms !== undefined && ms >= min && ms <= max) return ms;
  report.add(
    node.at,
    `${what} must be a time from ${formatDuration(min)} to ${formatDuration(max)}, such as 30s, 5m or 1h`,
  );
  return undefined;
}

/** Says that a field is missing, at the mapping that lacks it. */
export function need<T>(report: Report, at: number, value: T | undefined, sentence: string): T | undefined {
  if (value === undefined) report.add(at, sentence);
  return value;
}

export function oneOf(choices: readonly unknown[]): string {
  const shown = choices.slice(0, 12).map((choice) => (typeof choice === 'string' ? choice : JSON.stringify(choice)));
  if (choices.length > shown.length) shown.push('…');
  return shown.length === 1 ? `${shown[0]}` : `one of ${shown.join(', ')}`;
}
