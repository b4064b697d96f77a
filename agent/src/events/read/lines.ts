import { MAX_BATCH_EVENTS } from './bounds.ts';

/**
 * Cuts the bytes of a log into lines. Pure, and without a memory of its own: what is not a whole line yet is left where it is and read again
 * with what follows, so a place in the file, and whether it lies within a line that is being skipped, are all there is to remember.
 */

export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'latin1';

export interface CutOptions {
  readonly encoding: Encoding;
  /** The bytes begin within a line whose beginning was taken already: the rest of it is left out. */
  readonly skipping: boolean;
  /** No more can be read at once: a line that has no end in these bytes is cut. */
  readonly full: boolean;
  /** Nothing will follow: what has no end is a line, too. */
  readonly final: boolean;
  /** Default MAX_BATCH_EVENTS. */
  readonly maxLines?: number;
}

export interface Cut {
  /** Without their ends; empty ones are left out. Invalid bytes are U+FFFD. */
  readonly lines: readonly string[];
  /** So many of the bytes need not be read again. */
  readonly consumed: number;
  /** For the next call. */
  readonly skipping: boolean;
  /** The only line is the beginning of a longer one. */
  readonly truncated: boolean;
}

export function cutLines(given: Uint8Array, options: CutOptions): Cut {
  const bytes = aligned(given, options.encoding);
  const wide = options.encoding.startsWith('utf-16');
  const width = wide ? 2 : 1;
  let start = 0;
  if (options.skipping) {
    const end = newlineAt(bytes, 0, wide);
    if (end === -1) return { lines: [], consumed: bytes.length, skipping: !options.final, truncated: false };
    start = end + width;
  }
  const last = lastNewline(bytes, start, wide);
  if (last === -1) return withoutEnd(bytes, start, width, options);
  const end = endOf(bytes, start, last, wide, options.maxLines ?? MAX_BATCH_EVENTS);
  const lines = decode(bytes.subarray(start, end), options.encoding).split('\n');
  return { lines: tidy(lines), consumed: end + width, skipping: false, truncated: false };
}

function withoutEnd(bytes: Buffer, start: number, width: number, { encoding, full, final }: CutOptions): Cut {
  const rest = () => tidy([decode(bytes.subarray(start), encoding)]);
  if (final) return { lines: rest(), consumed: bytes.length, skipping: false, truncated: false };
  if (!full || start > 0) return { lines: [], consumed: start, skipping: false, truncated: false };
  // Left behind by a program that goes on where it was in a file that somebody emptied: before its line, and no part of it.
  const zeros = leadingZeros(bytes) & -width;
  if (zeros > 0) return { lines: [], consumed: zeros, skipping: false, truncated: false };
  // Half a character at the cut is no invalid byte of the file.
  const lines = rest().map((line) => line.replace(/\uFFFD$/, ''));
  return { lines, consumed: bytes.length, skipping: true, truncated: true };
}

function leadingZeros(bytes: Buffer): number {
  const end = bytes.findIndex((byte) => byte !== 0);
  return end === -1 ? bytes.length : end;
}

/** The end of the last line that is taken: of the last one, unless there are too many. */
function endOf(bytes: Buffer, start: number, last: number, wide: boolean, maxLines: number): number {
  // A line has an end at least: most often there cannot be too many.
  if (last - start < maxLines) return last;
  let end = newlineAt(bytes, start, wide);
  for (let lines = 1; lines < maxLines && end < last; lines++) end = newlineAt(bytes, end + (wide ? 2 : 1), wide);
  return end;
}

/** As whole characters, the low byte first: big endian is turned around, so that all below has one kind of two bytes. */
function aligned(given: Uint8Array, encoding: Encoding): Buffer {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  if (!encoding.startsWith('utf-16')) return bytes;
  const even = bytes.subarray(0, bytes.length - (bytes.length % 2));
  return encoding === 'utf-16be' ? Buffer.from(even).swap16() : even;
}

function newlineAt(bytes: Buffer, from: number, wide: boolean): number {
  return wide ? bytes.indexOf('\n', from, 'utf16le') : bytes.indexOf(10, from);
}

function lastNewline(bytes: Buffer, from: number, wide: boolean): number {
  const at = wide ? bytes.lastIndexOf('\n', bytes.length, 'utf16le') : bytes.lastIndexOf(10);
  return at < from ? -1 : at;
}

function decode(bytes: Buffer, encoding: Encoding): string {
  if (encoding === 'utf-8') return bytes.toString('utf8');
  if (encoding === 'latin1') return bytes.toString('latin1');
  return bytes.toString('utf16le').toWellFormed();
}

/** Fewer zeros than are read at once are still before the line. */
function tidy(lines: readonly string[]): string[] {
  const tidied: string[] = [];
  for (const line of lines) {
    let text = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (text.startsWith('\0')) text = text.replace(/^\0+/, '');
    if (text !== '') tidied.push(text);
  }
  return tidied;
}

const MARKS: readonly (readonly [Encoding, readonly number[]])[] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
];

/**
 * What the byte order mark at the beginning of a file says, against what is configured.
 * @param head the first three bytes of the file, or as many as there are. latin1 has no mark: there these are letters.
 * @returns undefined: there may be half a mark
 */
export function detectEncoding(
  head: Uint8Array,
  configured: Encoding,
): { encoding: Encoding; markBytes: number } | undefined {
  if (configured === 'latin1') return { encoding: configured, markBytes: 0 };
  for (const [encoding, mark] of MARKS) {
    const same = mark.findIndex((byte, at) => head[at] !== byte);
    if (same === -1) return { encoding, markBytes: mark.length };
    if (same === head.length && head.length > 0) return undefined;
  }
  return { encoding: configured, markBytes: 0 };
}
