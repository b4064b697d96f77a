import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { READ_BYTES } from '../read/bounds.ts';
import { type Fingerprint, fingerprintOf, fits, isWhole, NO_FINGERPRINT, readAt } from '../read/fingerprint.ts';
import { cutLines, detectEncoding, type Encoding } from '../read/lines.ts';
import { type FileKey, keyOf } from './rotated.ts';

/** How far a file is read: what is remembered of it. */
export interface Mark {
  /** What it was found as; its events are of that name, also once it is rotated. */
  readonly path: string;
  /** Where it really was: `path` may be, or lead through, a symbolic link. */
  readonly real: string;
  readonly key: FileKey;
  readonly offset: number;
  readonly skipping: boolean;
  readonly fingerprint: Fingerprint;
}

/** An open file that is being read. */
export interface Tail {
  readonly path: string;
  /** As in its mark. */
  real: string;
  readonly key: FileKey;
  readonly file: FileHandle;
  offset: number;
  skipping: boolean;
  fingerprint: Fingerprint;
  /** undefined: not known yet. */
  encoding: Encoding | undefined;
  /** As of the last look that found nothing, to see whether anything happened. */
  size: number;
  mtimeMs: number;
  /** As of the last look. */
  knownSize: number;
  /** Monotonic: since when there was nothing new at every look. */
  quietMs: number | undefined;
  /** Monotonic: no path leads to it any more, so it is read to its end and dropped. */
  goneMs: number | undefined;
}

// Never waits at a pipe that somebody put there, and takes no terminal.
const READING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** Opens what is there now, unread. @returns undefined: it is no file. @throws the operating system's error */
export async function openTail(path: string, as = path): Promise<Tail | undefined> {
  const file = await open(path, READING);
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) {
      await file.close();
      return undefined;
    }
    const size = Number(stats.size);
    return {
      path: as,
      real: await realpath(path).catch(() => path),
      key: keyOf(stats),
      file,
      offset: 0,
      skipping: false,
      fingerprint: await fingerprintOf(file, size),
      encoding: undefined,
      size: 0,
      mtimeMs: 0,
      knownSize: 0,
      quietMs: undefined,
      goneMs: undefined,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export type Place = Pick<Mark, 'offset' | 'skipping' | 'fingerprint'>;

/** Goes on where an earlier reader was. @returns false: it is not the file of the mark, or not any more */
export async function resume(
  tail: Tail,
  { offset, skipping, fingerprint }: Place,
  configured: Encoding,
): Promise<boolean> {
  const { size } = await tail.file.stat();
  if (size < offset || !(await fits(tail.file, fingerprint))) return false;
  const encoding = detectEncoding(await readAt(tail.file, 0, 3), configured)?.encoding;
  Object.assign(tail, { offset, skipping, encoding });
  return true;
}

/** What is in it so far is history: goes to the beginning of its last line, if that has no end yet. */
export async function skipToEnd(tail: Tail, configured: Encoding): Promise<void> {
  const { size } = await tail.file.stat();
  const head = detectEncoding(await readAt(tail.file, 0, 3), configured);
  if (head === undefined) return;
  const begin = Math.max(head.markBytes, size - READ_BYTES);
  const start = begin + ((begin - head.markBytes) % 2);
  const bytes = await readAt(tail.file, start, size - start);
  const maxLines = Number.POSITIVE_INFINITY;
  const cut = cutLines(bytes, { encoding: head.encoding, skipping: false, full: false, final: false, maxLines });
  const inLongLine = cut.consumed === 0 && start > head.markBytes;
  tail.encoding = head.encoding;
  tail.offset = inLongLine ? size : start + cut.consumed;
  tail.skipping = inLongLine;
}

export type Look =
  | { readonly kind: 'nothing' }
  /** Somebody emptied the file, or put another one's bytes into it. */
  | { readonly kind: 'emptied' }
  | { readonly kind: 'lines'; readonly lines: readonly string[]; readonly truncated: boolean; readonly more: boolean };

const NOTHING: Look = { kind: 'nothing' };

export interface LookOptions {
  readonly configured: Encoding;
  /** A line without its end is taken when the file has not grown for so long. */
  readonly unfinishedMs: number;
  readonly nowMs: number;
  /** READ_BYTES long, used again. */
  readonly buffer: Buffer;
}

/** Reads on a little. The tail is behind the lines then. */
export async function look(tail: Tail, { configured, unfinishedMs, nowMs, buffer }: LookOptions): Promise<Look> {
  const stats = await tail.file.stat();
  const { size, mtimeMs } = stats;
  const changed = size !== tail.size || mtimeMs !== tail.mtimeMs;
  if (changed) tail.quietMs = undefined;
  const overdue = size > tail.offset && tail.quietMs !== undefined && nowMs - tail.quietMs >= unfinishedMs;
  if (!changed && !overdue) {
    tail.quietMs ??= nowMs;
    return NOTHING;
  }
  const bytes = size > tail.offset ? await readAt(tail.file, tail.offset, READ_BYTES, buffer) : buffer.subarray(0, 0);
  // After the reading: it can be emptied and filled again between any two steps.
  if (size < tail.offset || !(await fits(tail.file, tail.fingerprint))) return { kind: 'emptied' };
  tail.knownSize = size;
  const found = cutOff(tail, bytes, configured, overdue);
  if (!isWhole(tail.fingerprint)) tail.fingerprint = await fingerprintOf(tail.file, tail.offset + bytes.length);
  // Otherwise there is more, and the next look must not take it for seen.
  if (found === NOTHING) Object.assign(tail, { size, mtimeMs });
  return found;
}

function cutOff(tail: Tail, bytes: Buffer, configured: Encoding, final: boolean): Look {
  let from = 0;
  if (tail.offset === 0) {
    const head = detectEncoding(bytes.subarray(0, 3), configured);
    if (head === undefined) return NOTHING;
    tail.encoding = head.encoding;
    from = head.markBytes;
  }
  const options = { encoding: tail.encoding ?? configured, skipping: tail.skipping, full: bytes.length === READ_BYTES };
  const rest = bytes.subarray(from);
  let cut = cutLines(rest, { ...options, final: false });
  if (cut.consumed === 0 && final) cut = cutLines(rest, { ...options, final: true });
  if (cut.consumed === 0) return NOTHING;
  tail.offset += from + cut.consumed;
  tail.skipping = cut.skipping;
  return { kind: 'lines', lines: cut.lines, truncated: cut.truncated, more: options.full };
}

/** From the beginning again. */
export function startOver(tail: Tail): void {
  Object.assign(tail, {
    offset: 0,
    skipping: false,
    fingerprint: NO_FINGERPRINT,
    encoding: undefined,
    size: 0,
    mtimeMs: 0,
    knownSize: 0,
  });
}

export function markOf({ path, real, key, offset, skipping, fingerprint }: Tail): Mark {
  return { path, real, key, offset, skipping, fingerprint };
}
