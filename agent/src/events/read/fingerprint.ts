import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { isCount, isObject } from './position.ts';

/** The first bytes of a file, hashed: a number of an inode is used again for another file, and a file can be emptied and filled anew. */
export interface Fingerprint {
  readonly bytes: number;
  readonly hash: string;
}

export const NO_FINGERPRINT: Fingerprint = { bytes: 0, hash: '' };

/** @returns undefined: this is none */
export function parseFingerprint(value: unknown): Fingerprint | undefined {
  if (!isObject(value)) return undefined;
  const { bytes, hash } = value;
  return isCount(bytes) && typeof hash === 'string' ? { bytes, hash } : undefined;
}

const MOST_BYTES = 256;

/** @param size how much of the file is known: what may still change is not looked at */
export async function fingerprintOf(file: FileHandle, size: number): Promise<Fingerprint> {
  const bytes = Math.min(size, MOST_BYTES);
  const head = await readAt(file, 0, bytes);
  return { bytes: head.length, hash: createHash('sha256').update(head).digest('base64url').slice(0, 16) };
}

/** Whether the file still begins like that. An empty fingerprint fits every file. */
export async function fits(file: FileHandle, fingerprint: Fingerprint): Promise<boolean> {
  if (fingerprint.bytes === 0) return true;
  const now = await fingerprintOf(file, fingerprint.bytes);
  return now.bytes === fingerprint.bytes && now.hash === fingerprint.hash;
}

/** Whether it could know more of the file by now. */
export function isWhole(fingerprint: Fingerprint): boolean {
  return fingerprint.bytes === MOST_BYTES;
}

/** As many bytes as there are, up to `length`. */
export async function readAt(
  file: FileHandle,
  offset: number,
  length: number,
  into: Buffer = Buffer.allocUnsafe(length),
) {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(into, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return into.subarray(0, filled);
}
