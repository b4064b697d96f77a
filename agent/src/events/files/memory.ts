import { parseFingerprint } from '../read/fingerprint.ts';
import { isCount } from '../read/position.ts';
import type { Mark } from './tail.ts';

/** What is remembered between two starts of the agent, of all files of a source. */
export interface Memory {
  /** In the order in which they are read. */
  readonly tails: readonly Mark[];
  /** Read to the end and dropped, the latest last: where one of them comes back, it is not read again. */
  readonly done: readonly Mark[];
  /** Every file that was there then is in one of these, or nothing of ours. */
  readonly lookedUnixMs: number;
}

export function encodeMemory({ tails, done, lookedUnixMs }: Memory): string {
  return JSON.stringify({ at: lookedUnixMs, tails: tails.map(short), done: done.map(short) });
}

/** Positions go to disk with every batch, so they have no names in them. */
function short({ path, real, key, offset, skipping, fingerprint: { bytes, hash } }: Mark): unknown[] {
  return [path, real === path ? 0 : real, key, offset, skipping ? 1 : 0, bytes, hash];
}

/** @returns undefined: this is none */
export function parseMemory(value: Readonly<Record<string, unknown>>): Memory | undefined {
  const { at, tails, done } = value;
  if (!isCount(at) || !Array.isArray(tails) || !Array.isArray(done)) return undefined;
  const marks = [tails.map(parseMark), done.map(parseMark)] as const;
  if (!isWhole(marks[0]) || !isWhole(marks[1])) return undefined;
  return { tails: marks[0], done: marks[1], lookedUnixMs: at };
}

function isWhole(marks: readonly (Mark | undefined)[]): marks is readonly Mark[] {
  return marks.every((mark) => mark !== undefined);
}

function parseMark(value: unknown): Mark | undefined {
  if (!Array.isArray(value)) return undefined;
  const [path, real, key, offset, skipping, bytes, hash]: unknown[] = value;
  const fingerprint = parseFingerprint({ bytes, hash });
  if (typeof path !== 'string' || typeof key !== 'string' || !isCount(offset) || fingerprint === undefined)
    return undefined;
  return { path, real: typeof real === 'string' ? real : path, key, offset, skipping: skipping === 1, fingerprint };
}
