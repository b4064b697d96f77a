import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A file system so small that a test can fill it. */
export interface SmallDisk {
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
}

const mounts = new Set<string>();
process.on('exit', unmountDisks);

/** Whether this process may mount: it takes root, and a container that lets it. */
export function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @param path a directory that is made, and becomes the disk */
export function smallDisk(path: string, mib: number): SmallDisk {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0711`, 'tmpfs', path]);
  mounts.add(path);
  const filler = join(path, 'filler');
  return {
    fill() {
      const fd = openSync(filler, 'a');
      try {
        // Smaller and smaller, so that not one byte is left.
        for (let size = 1024 * 1024; size >= 1; ) {
          try {
            if (writeSync(fd, Buffer.alloc(size)) < size) size /= 2;
          } catch {
            size /= 2;
          }
        }
      } finally {
        closeSync(fd);
      }
    },
    free: () => rmSync(filler, { force: true }),
  };
}

/** After the processes that use them have ended. */
export function unmountDisks(): void {
  for (const path of mounts) {
    execFileSync('umount', ['-l', path]);
    mounts.delete(path);
  }
}
