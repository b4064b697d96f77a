import type { LogFs } from '../journal/log-fs.ts';

/** A disk in memory that can fail, and that forgets at a power cut what was not synced. For tests only. */
export interface FakeDisk extends LogFs {
  content(path: string): string;
  /** The next calls of that kind fail with this until it is undefined again. */
  fail: { write?: string | undefined; sync?: string | undefined };
  /** What one write may have, bytes: the end of a page, where nothing else is left. */
  room?: number;
  syncs: number;
  /** Also those that failed. */
  writes: number;
  /** While true, syncs do not come back. */
  slow(): { release(): void };
}

export function fakeDisk(): FakeDisk {
  const files = new Map<string, { bytes: Buffer }>();
  let gate: Promise<void> = Promise.resolve();
  const disk: FakeDisk = {
    fail: {},
    syncs: 0,
    writes: 0,
    content: (path) => files.get(path)?.bytes.toString() ?? '',
    slow() {
      let release = () => {};
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return { release };
    },
    async open(path) {
      const file = files.get(path) ?? { bytes: Buffer.alloc(0) };
      files.set(path, file);
      return {
        async write(bytes, position) {
          disk.writes += 1;
          const full = disk.room !== undefined && bytes.length > disk.room ? 'no space left on device' : undefined;
          const why = disk.fail.write ?? full;
          if (why !== undefined) {
            // A full disk takes a part.
            file.bytes = Buffer.concat([file.bytes.subarray(0, position), bytes.subarray(0, bytes.length / 2)]);
            throw new Error(why);
          }
          file.bytes = Buffer.concat([
            file.bytes.subarray(0, position),
            bytes,
            file.bytes.subarray(position + bytes.length),
          ]);
        },
        async truncate(length) {
          file.bytes = file.bytes.subarray(0, length);
        },
        async sync() {
          await gate;
          if (disk.fail.sync !== undefined) throw new Error(disk.fail.sync);
          disk.syncs += 1;
        },
        async close() {},
      };
    },
    async rename(from, to) {
      const file = files.get(from);
      if (file !== undefined) files.set(to, file);
      files.delete(from);
    },
    async remove(path) {
      files.delete(path);
    },
    async syncDirectoryOf() {},
  };
  return disk;
}
