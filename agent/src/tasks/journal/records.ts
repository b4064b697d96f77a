import { crc32 } from 'node:zlib';
import { Task, TaskResult } from '@openline/proto/agent';
import { createEncoder } from '@openline/proto/encoder';

/** The version of the file; a newer one is not read. */
export const JOURNAL_VERSION = 1;

/**
 * One line of the journal: `crc32hex json\n`. Messages of the protocol are base64 of their protobuf bytes.
 * Times are wall clock, because they must be understood by the next process.
 */
export type JournalRecord =
  | { readonly t: 'journal'; readonly id: string; readonly version: number }
  | {
      readonly t: 'accepted';
      readonly run: string;
      readonly at: number;
      readonly expires: number;
      readonly task: string;
    }
  | { readonly t: 'started'; readonly run: string; readonly at: number }
  /** Names the process beyond doubt: pid, start time in ticks since boot, and which boot. */
  | { readonly t: 'process'; readonly run: string; readonly pid: number; readonly ticks: string; readonly boot: string }
  | { readonly t: 'ended'; readonly run: string; readonly expires: number; readonly result: string }
  /** The server has the result. The id is remembered until `forget`. */
  | { readonly t: 'committed'; readonly run: string; readonly forget: number }
  /** Means nothing; `pad` makes it as long as is wanted. */
  | { readonly t: 'probe'; readonly pad?: string };

export function lineOf(record: JournalRecord): string {
  const json = JSON.stringify(record);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

/** Of at least so many bytes. */
export function probeOf(leastBytes: number): string {
  return lineOf(leastBytes === 0 ? { t: 'probe' } : { t: 'probe', pad: '-'.repeat(leastBytes) });
}

const taskBytes = createEncoder(Task);
const resultBytes = createEncoder(TaskResult);
export const encodeTask = (task: Task): string => taskBytes(task).toString('base64');
export const decodeTask = (text: string): Task => Task.decode(Buffer.from(text, 'base64'));
export const encodeResult = (result: TaskResult): string => resultBytes(result).toString('base64');
export const decodeResult = (text: string): TaskResult => TaskResult.decode(Buffer.from(text, 'base64'));

export interface ParsedJournal {
  readonly records: JournalRecord[];
  /** Up to the end of the last good line. */
  readonly validBytes: number;
  /** A bad line with good ones behind it: not a write that was cut short, but damage. */
  readonly damaged: boolean;
}

/** Never throws: a bad line is left out. */
export function parseJournal(content: Buffer): ParsedJournal {
  const records: JournalRecord[] = [];
  let validBytes = 0;
  let sawBad = false;
  let damaged = false;
  for (let start = 0; start < content.length; ) {
    const newline = content.indexOf(0x0a, start);
    const record = newline < 0 ? undefined : recordOf(content.subarray(start, newline));
    if (record === undefined) {
      sawBad = true;
    } else {
      damaged ||= sawBad;
      records.push(record);
      validBytes = newline + 1;
    }
    start = newline < 0 ? content.length : newline + 1;
  }
  return { records, validBytes, damaged };
}

function recordOf(line: Buffer): JournalRecord | undefined {
  if (line.length < 11 || line[8] !== 0x20) return undefined;
  const json = line.subarray(9);
  if (line.toString('latin1', 0, 8) !== crc32(json).toString(16).padStart(8, '0')) return undefined;
  try {
    const value: unknown = JSON.parse(json.toString());
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const FIELDS: Record<JournalRecord['t'], Readonly<Record<string, 'string' | 'number'>>> = {
  journal: { id: 'string', version: 'number' },
  accepted: { run: 'string', at: 'number', expires: 'number', task: 'string' },
  started: { run: 'string', at: 'number' },
  process: { run: 'string', pid: 'number', ticks: 'string', boot: 'string' },
  ended: { run: 'string', expires: 'number', result: 'string' },
  committed: { run: 'string', forget: 'number' },
  probe: {},
};

function isRecord(value: unknown): value is JournalRecord {
  if (typeof value !== 'object' || value === null || !('t' in value)) return false;
  const fields = Object.entries(FIELDS).find(([t]) => t === value.t)?.[1];
  if (fields === undefined) return false;
  const own = new Map<string, unknown>(Object.entries(value));
  return Object.entries(fields).every(([name, type]) => typeof own.get(name) === type);
}
