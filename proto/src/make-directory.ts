import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * As `mkdir -p`, with the system's own reason when it cannot be made. Node's `recursive` says ENOENT for a file system that is
 * read-only, and never returns where the kernel itself says ENOENT below a directory that is there (/proc, an automounter's).
 */
export function makeDirectory(path: string, mode: number): void {
  if (isDirectory(path)) return;
  const above = dirname(path);
  if (above !== path && stat(above) === undefined) makeDirectory(above, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isDirectory(path)) throw error;
  }
}

const stat = (path: string) => statSync(path, { throwIfNoEntry: false });

const isDirectory = (path: string): boolean => stat(path)?.isDirectory() === true;
