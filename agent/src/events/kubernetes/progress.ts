import { isCount, isObject } from '../read/position.ts';
import type { Item } from './item.ts';

/**
 * How far the events of a watch are read. A list shows what there is and not what is new, so that what was told is remembered: by the version
 * up to which all was seen, and by the counts of the latest ones.
 */
export interface Progress {
  /** Of the collection; empty: it was not listed yet. */
  version: string;
  /** By uid: the count that was told. The latest last. */
  readonly counts: Map<string, number>;
}

const MAX_COUNTS = 2_000;
/** That go to disk. */
const MAX_SAVED = 64;

export function newProgress(): Progress {
  return { version: '', counts: new Map() };
}

/**
 * Whether it says something that was not told; it is then.
 * @param listed of a list at this version: undefined: it comes from a watch, which has only what changed
 */
export function takeNew(progress: Progress, item: Item, listed?: string): boolean {
  const told = progress.counts.get(item.uid);
  const isNew = told === undefined ? listed === undefined || !wasSeen(progress, item, listed) : item.count > told;
  progress.counts.delete(item.uid);
  progress.counts.set(item.uid, Math.max(item.count, told ?? 0));
  if (progress.counts.size > MAX_COUNTS) {
    const [oldest] = progress.counts.keys();
    if (oldest !== undefined) progress.counts.delete(oldest);
  }
  return isNew;
}

/** Versions are numbers that rise. A list that is older than what was seen is of a store that was restored: then they say nothing. */
function wasSeen({ version }: Progress, item: Item, listed: string): boolean {
  if (![version, item.version, listed].every((one) => /^\d{1,30}$/.test(one))) return false;
  return BigInt(listed) >= BigInt(version) && BigInt(item.version) <= BigInt(version);
}

export function encodeProgress({ version, counts }: Progress): unknown {
  return { version, counts: [...counts].slice(-MAX_SAVED) };
}

/** @returns undefined: this is none */
export function parseProgress(value: unknown): Progress | undefined {
  if (!isObject(value)) return undefined;
  const { version, counts } = value;
  if (typeof version !== 'string' || !Array.isArray(counts)) return undefined;
  const known = new Map<string, number>();
  for (const entry of counts) {
    const [uid, count]: unknown[] = Array.isArray(entry) ? entry : [];
    if (typeof uid !== 'string' || !isCount(count)) return undefined;
    known.set(uid, count);
  }
  return { version, counts: known };
}
