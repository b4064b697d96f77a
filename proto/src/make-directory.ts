import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * As `mkdir -p`, with the system's own reason when it cannot be made. Node's `recursive` says ENOENT for a file system that is
 * read-only, and never returns where the kernel itself says ENOENT below a directory that is there (/proc, an automounter's).
 */
export function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
    return;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const above = dirname(path);
    if (error.code !== 'ENOENT' || above === path || statSync(above, { throwIfNoEntry: false }) !== undefined)
      throw error;
    makeDirectory(above, mode);
  }
  mkdirSync(path, { mode });
}
