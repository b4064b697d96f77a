import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../../files.ts';
import { READ_BYTES } from '../read/bounds.ts';
import { isErrno } from '../read/errno.ts';
import { readAt } from '../read/fingerprint.ts';
import { cutLines } from '../read/lines.ts';
import { SEAL_BYTES } from './record.ts';

/**
 * The log is a row of files. Each is named after the number of its first record, counted from the first one ever; so what was removed before it
 * was read is known to the record. Written to is the last one only.
 */

const NAME = /^(\d{16})\.jsonl$/;

export const segmentPath = (directory: string, first: number) =>
  join(directory, `${String(first).padStart(16, '0')}.jsonl`);

/** The numbers of the first records, ascending. A directory that is not there has none. */
export async function listSegments(directory: string): Promise<number[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .filter((first) => Number.isSafeInteger(first) && first > 0)
    .sort((a, b) => a - b);
}

// Where others may write the directory, they must not lead us to other files, or make us wait at a pipe. Windows has neither flag.
const SAFELY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const READING = constants.O_RDONLY | SAFELY;
const APPENDING = constants.O_RDWR | constants.O_APPEND | SAFELY;
const CREATING = APPENDING | constants.O_CREAT | constants.O_EXCL;

/** @returns undefined: it is not there (any more) */
export async function openSegment(
  directory: string,
  first: number,
  to: 'read' | 'append',
): Promise<FileHandle | undefined> {
  const path = segmentPath(directory, first);
  let file: FileHandle;
  try {
    file = await open(path, to === 'read' ? READING : APPENDING);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const stat = await file.stat();
  if (stat.isFile() && stat.nlink <= 1) return file;
  await file.close();
  throw new Error(`${path} is no file of its own: somebody put a link or something else in its place`);
}

/** Does nothing when it is there. @param mode whatever the umask */
export async function createSegment(directory: string, first: number, mode: number): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(segmentPath(directory, first), CREATING, mode);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    throw error;
  }
  try {
    if (process.platform !== 'win32') await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(directory);
}

/** What a piece of a segment holds. At the seal comes nothing more, whatever stands behind it. */
export interface Piece {
  readonly lines: readonly string[];
  /** Where the next piece begins, and whether within a line that is too long. */
  readonly offset: number;
  readonly skipping: boolean;
  /** There is more behind it, in this segment or in the next. */
  readonly more: boolean;
}

/** @param buffer READ_BYTES long, to be used again */
export async function readPiece(
  file: FileHandle,
  { offset, skipping }: Pick<Piece, 'offset' | 'skipping'>,
  buffer: Buffer,
): Promise<Piece> {
  const bytes = await readAt(file, offset, READ_BYTES, buffer);
  const seal = sealIn(bytes);
  const full = bytes.length === READ_BYTES && seal === -1;
  const cut = cutLines(seal === -1 ? bytes : bytes.subarray(0, seal), {
    encoding: 'utf-8',
    skipping,
    full,
    final: false,
  });
  return { lines: cut.lines, offset: offset + cut.consumed, skipping: cut.skipping, more: full || seal !== -1 };
}

/** Where the line with the seal begins. */
function sealIn(bytes: Buffer): number {
  const seal = SEAL_BYTES.subarray(1);
  if (bytes.subarray(0, seal.length).equals(seal)) return 0;
  const at = bytes.indexOf(SEAL_BYTES);
  return at === -1 ? -1 : at + 1;
}

/** Records before its seal, or before its end. */
export async function countRecords(file: FileHandle): Promise<{ records: number; end: Piece }> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let end: Piece = { lines: [], offset: 0, skipping: false, more: false };
  for (let records = 0; ; ) {
    const piece = await readPiece(file, end, buffer);
    const moved = piece.offset > end.offset;
    end = piece;
    records += piece.lines.length;
    if (!moved) return { records, end };
  }
}
