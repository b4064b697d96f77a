import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A file system so small that a test can fill it. */
export interface SmallDisk {
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
}

const mounts = new Set<string>();
const frozen = new Set<string>();
process.on('exit', () => {
  thawDisks();
  unmountDisks();
});

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

/** A disk that can hang: whoever writes to it, or syncs, waits. */
export interface FreezableDisk {
  freeze(): void;
  thaw(): void;
}

/** @param path a directory that is made, and becomes the disk */
export function freezableDisk(path: string): FreezableDisk {
  mkdirSync(path, { recursive: true });
  const image = `${path}.image`;
  closeSync(openSync(image, 'w'));
  truncateSync(image, 16 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  mounts.add(path);
  const thaw = () => {
    if (frozen.delete(path)) execFileSync('fsfreeze', ['--unfreeze', path]);
  };
  return {
    freeze() {
      execFileSync('fsfreeze', ['--freeze', path]);
      frozen.add(path);
    },
    thaw,
  };
}

/** Before processes that hang there are killed: until then they cannot even die. */
export function thawDisks(): void {
  for (const path of frozen) execFileSync('fsfreeze', ['--unfreeze', path]);
  frozen.clear();
}

/** After the processes that use them have ended. */
export function unmountDisks(): void {
  for (const path of mounts) {
    execFileSync('umount', ['-l', path]);
    mounts.delete(path);
  }
}
