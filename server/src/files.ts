import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Puts a file in place whole or not at all, and on disk before it returns; a reader never sees half of it.
 * @param mode default 0600: most of what a server writes beside its database is a secret
 */
export function writeFileAtomic(path: string, content: string, mode = 0o600): void {
  const fresh = `${path}.${process.pid}.new`;
  // One that was left behind could have other permissions.
  rmSync(fresh, { force: true });
  const fd = openSync(fresh, 'wx', mode);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  syncDirectory(dirname(path));
}

/** A rename is durable only once its directory is. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
