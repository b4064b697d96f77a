import { basename, dirname, join } from 'node:path';
import type { SpoolFile, SpoolFs } from '../spool-fs.ts';

/** What a process that was killed would have got from the disk: nothing, ever. */
const NEVER = new Promise<never>(() => undefined);

interface Inode {
  data: Buffer;
  /** As of the last sync. */
  synced: Buffer;
}

/** A disk in memory whose machine can die at any operation. For tests only. */
export interface CrashDisk extends SpoolFs {
  /** Operations that changed something so far. */
  operations: number;
  /** The process dies at this one: a write is done in part, and nothing ever comes back. */
  dieAt: number | undefined;
  /** Resolves when it has died. */
  readonly died: Promise<void>;
  /** What the next process finds. @param powerCut what was not synced may be lost @param random [0, 1) */
  after(powerCut: boolean, random: () => number): CrashDisk;
  fail: { write?: string | undefined; sync?: string | undefined };
  /** Puts this byte somewhere in a file. */
  damage(path: string, at: number): void;
  size(): number;
  /** Whether this text is in some file, synced or not. */
  has(text: string): boolean;
  syncs: number;
}

export function crashDisk(names = new Map<string, Inode>()): CrashDisk {
  let durableNames = new Map(names);
  const dying = Promise.withResolvers<void>();
  let dead = false;

  /** @returns how much of it is done before the process is dead: all, unless this is the last one */
  async function change(run: (share: number) => void): Promise<void> {
    if (dead) return NEVER;
    disk.operations += 1;
    await Promise.resolve();
    if (dead) return NEVER;
    if (disk.dieAt !== undefined && disk.operations >= disk.dieAt) {
      run(0.5);
      dead = true;
      dying.resolve();
      return NEVER;
    }
    run(1);
  }

  function fileOf(inode: Inode): SpoolFile {
    return {
      write: (bytes, position) =>
        change((share) => {
          const failed = disk.fail.write;
          const taken = bytes.subarray(0, failed === undefined && share === 1 ? bytes.length : bytes.length / 2);
          const until = position + taken.length;
          const gap = Buffer.alloc(Math.max(0, position - inode.data.length));
          inode.data = Buffer.concat([inode.data.subarray(0, position), gap, taken, inode.data.subarray(until)]);
          if (failed !== undefined) throw new Error(failed);
        }),
      truncate: (length) =>
        change(() => {
          inode.data = inode.data.subarray(0, length);
        }),
      sync: () =>
        change((share) => {
          if (disk.fail.sync !== undefined) throw new Error(disk.fail.sync);
          if (share === 1) inode.synced = inode.data;
          disk.syncs += 1;
        }),
      close: async () => undefined,
      async read(length, position) {
        if (dead) return NEVER;
        return Buffer.from(inode.data.subarray(position, position + length));
      },
      size: async () => inode.data.length,
    };
  }

  const disk: CrashDisk = {
    operations: 0,
    syncs: 0,
    has: (text) => [...names.values()].some(({ data }) => data.includes(text)),
    dieAt: undefined,
    died: dying.promise,
    fail: {},
    async list(directory) {
      if (dead) return NEVER;
      return [...names.keys()].filter((path) => dirname(path) === directory).map((path) => basename(path));
    },
    async open(path) {
      if (dead) return NEVER;
      const inode = names.get(path) ?? { data: Buffer.alloc(0), synced: Buffer.alloc(0) };
      if (!names.has(path)) await change((share) => void (share === 1 && names.set(path, inode)));
      return fileOf(inode);
    },
    rename: (from, to) =>
      change((share) => {
        const inode = names.get(from);
        if (share < 1 || inode === undefined) return;
        names.set(to, inode);
        names.delete(from);
      }),
    remove: (path) => change((share) => void (share === 1 && names.delete(path))),
    syncDirectoryOf: () =>
      change((share) => {
        if (share === 1) durableNames = new Map(names);
      }),
    after(powerCut, random) {
      dead = true;
      const kept = new Map<string, Inode>();
      const found = powerCut && random() < 0.5 ? durableNames : names;
      for (const [path, { data, synced }] of found) {
        // The kernel may have written more than it was made to, up to anywhere.
        const until = synced.length + Math.floor(random() * (data.length - synced.length + 1));
        const whole = powerCut ? (data.length > synced.length ? data.subarray(0, until) : synced) : data;
        kept.set(path, { data: Buffer.from(whole), synced: Buffer.from(whole) });
      }
      return crashDisk(kept);
    },
    damage(path, at) {
      const inode = names.get(join(path));
      if (inode === undefined) throw new Error(`no file ${path}`);
      inode.data = Buffer.from(inode.data);
      inode.data[at] = (inode.data[at] ?? 0) ^ 0xff;
    },
    size: () => [...names.values()].reduce((sum, { data }) => sum + data.length, 0),
  };
  return disk;
}
