import type { NodeEvent } from '@openline/packs';
import { LEVELS, levelOfSeverity } from '../levels.ts';
import { boundedEvent } from '../read/bounds.ts';
import { isObject } from '../read/position.ts';

/** An entry of the journal, as `journalctl -o json` writes it. @see systemd.journal-fields(7) */
export interface JournalEntry {
  readonly cursor: string;
  /** Of the kernel: also in its own log. */
  readonly isKernel: boolean;
  readonly event: NodeEvent;
}

/** What the journal itself says of who wrote it; the fields of the writer come along with their own names, in lower case. */
const TRUSTED: Readonly<Record<string, string>> = {
  _PID: 'pid',
  _UID: 'uid',
  _COMM: 'command',
  _EXE: 'exe',
  _SYSTEMD_UNIT: 'systemd_unit',
  _SYSTEMD_USER_UNIT: 'systemd_user_unit',
  _HOSTNAME: 'host',
  _TRANSPORT: 'transport',
};
/** They are the event itself. */
const TAKEN = new Set(['MESSAGE', 'PRIORITY', 'SYSLOG_IDENTIFIER', 'MESSAGE_ID', 'SYSLOG_TIMESTAMP']);
const MAX_FIELDS = 64;
const MAX_FIELD_CHARS = 4096;

/** @returns undefined: the line is no entry */
export function parseJournalEntry(line: string): JournalEntry | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(entry)) return undefined;
  const field = (name: string) => textOf(entry[name]);
  const cursor = field('__CURSOR');
  const atUnixMs = Math.trunc(Number(field('__REALTIME_TIMESTAMP')) / 1000);
  if (cursor === undefined || Number.isNaN(atUnixMs)) return undefined;
  const priority = Number(field('PRIORITY') ?? Number.NaN);
  const event = {
    log: 'journal',
    source: field('SYSLOG_IDENTIFIER') ?? field('_SYSTEMD_UNIT') ?? field('_COMM') ?? 'journal',
    id: field('MESSAGE_ID') ?? '',
    level: Number.isNaN(priority) ? LEVELS.info : levelOfSeverity(priority),
    atUnixMs,
    message: field('MESSAGE') ?? '',
    data: dataOf(entry),
  };
  return { cursor, isKernel: entry['_TRANSPORT'] === 'kernel', event: boundedEvent(event) };
}

/** Text; or bytes, where they are not printable UTF-8 (colours, mostly); or several of either, of which the first counts. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const items: unknown[] = value;
  return items.every(isByte) ? Buffer.from(items).toString('utf8') : textOf(items[0]);
}

function isByte(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 255;
}

function dataOf(entry: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const data: Record<string, unknown> = {};
  let fields = 0;
  for (const name of Object.keys(entry)) {
    const key = name.startsWith('_') ? TRUSTED[name] : TAKEN.has(name) ? undefined : name.toLowerCase();
    const text = key === undefined ? undefined : textOf(entry[name]);
    if (key === undefined || text === undefined || fields === MAX_FIELDS) continue;
    data[key] = key === 'pid' || key === 'uid' ? Number(text) : text.slice(0, MAX_FIELD_CHARS).toWellFormed();
    fields++;
  }
  return data;
}

/**
 * How many entries lie between two: they are numbered, by each journal in a row of its own.
 * @returns 0 where that is not known
 */
export function entriesBetween(cursor: string, later: string): number {
  const [from, to] = [partsOf(cursor), partsOf(later)];
  const [before, after] = [from.get('i'), to.get('i')].map((number) => Number.parseInt(number ?? '', 16));
  // The row of a start of the machine: what the journal kept in memory until its disk was there is numbered anew.
  const sameRow = from.get('s') !== undefined && from.get('s') === to.get('s') && from.get('b') === to.get('b');
  if (!sameRow || before === undefined || after === undefined || Number.isNaN(after - before)) return 0;
  return Math.max(0, after - before - 1);
}

/** `s=…;i=…;b=…;m=…;t=…;x=…` */
function partsOf(cursor: string): Map<string, string> {
  return new Map(cursor.split(';').map((part) => [part.slice(0, 1), part.slice(2)] as const));
}
