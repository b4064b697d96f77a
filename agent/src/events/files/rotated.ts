import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

/** Which file it is, whatever it is called. Its number is used again once it is gone. */
export type FileKey = string;

export const keyOf = ({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): FileKey => `${dev}:${ino}`;

/** A file that looks like an older part of a log. */
export interface Rotated {
  readonly path: string;
  readonly key: FileKey;
  readonly size: number;
  /** 0: the file system does not know. */
  readonly bornUnixMs: number;
}

const COMPRESSED = /\.(?:gz|bz2|xz|zst|lz4|Z|zip)$/;
const MAX_ROTATED = 100;

/** `app.log` becomes `app.log.1`, `app.log-20240102`, `app.1.log`, `app-2024-01-02T03.log` and the like. */
export function isRotatedName(name: string, log: string): boolean {
  if (COMPRESSED.test(name)) return false;
  if (name.startsWith(log)) return /^[._-]./.test(name.slice(log.length));
  const ending = extname(log);
  const stem = log.slice(0, log.length - ending.length);
  if (ending === '' || !name.startsWith(stem) || !name.endsWith(ending)) return false;
  return /^[._-]\d[\dT:._-]*$/.test(name.slice(stem.length, name.length - ending.length));
}

/** Beside the log, the oldest first. Empty where the directory cannot be read. @param log where it really is */
export async function rotatedOf(log: string): Promise<Rotated[]> {
  const directory = dirname(log);
  const names = await readdir(directory).catch(() => []);
  const paths = names.filter((name) => isRotatedName(name, basename(log))).map((name) => join(directory, name));
  const found: Rotated[] = [];
  for (const path of paths.slice(-MAX_ROTATED)) {
    const stats = await stat(path, { bigint: true }).catch(() => undefined);
    if (!stats?.isFile()) continue;
    found.push({ path, key: keyOf(stats), size: Number(stats.size), bornUnixMs: Number(stats.birthtimeMs) });
  }
  return found.sort((a, b) => a.bornUnixMs - b.bornUnixMs);
}
