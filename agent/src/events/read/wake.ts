import { type FSWatcher, watch } from 'node:fs';
import { basename } from 'node:path';
import type { Clock } from '../../tasks/clock.ts';

/**
 * When to look again: at a change in a directory, at the latest after a while. The operating system's notices are only the quick way: some
 * file systems give none (NFS, some volumes), and a machine has only so many to give.
 */
export interface Wake {
  /** Instead of the directories before. One that cannot be watched is not. */
  watch(directories: Iterable<string>): void;
  /** Resolves at the next change, or at once when there was one since the last call. @returns what the change was */
  wait(atMostMs: number): Promise<Change>;
  close(): void;
}

/** `names`: something came, went or was renamed. `none`: it was time. */
export type Change = 'content' | 'names' | 'none';

/** Directories that are watched; in further ones changes are found by looking. */
const MAX_WATCHED = 64;

/** @param signal its abort ends every wait */
export function createWake(clock: Clock, signal: AbortSignal): Wake {
  const watched = new Map<string, FSWatcher>();
  let change: Change = 'none';
  let waiting: (() => void) | undefined;

  function poke(what: Change): void {
    if (change !== 'names') change = what;
    waiting?.();
  }
  const stop = () => poke('names');

  function drop(directory: string): void {
    watched.get(directory)?.close();
    watched.delete(directory);
  }

  function add(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, (event, name) => {
        // It went itself: what takes its place is watched from the next call on.
        if (event === 'rename' && name === basename(directory)) drop(directory);
        poke(event === 'rename' ? 'names' : 'content');
      });
      watcher.on('error', () => drop(directory));
      watched.set(directory, watcher);
    } catch {
      // It is looked at all the same.
    }
  }

  signal.addEventListener('abort', stop, { once: true });
  return {
    watch(directories) {
      const wanted = new Set([...directories].slice(0, MAX_WATCHED));
      for (const directory of [...watched.keys()]) if (!wanted.has(directory)) drop(directory);
      for (const directory of wanted) if (!watched.has(directory)) add(directory);
    },
    async wait(atMostMs) {
      if (change === 'none' && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = clock.after(atMostMs, resolve);
          waiting = () => {
            timer.cancel();
            resolve();
          };
        });
        waiting = undefined;
      }
      const what = change;
      change = 'none';
      return what;
    },
    close() {
      signal.removeEventListener('abort', stop);
      for (const directory of [...watched.keys()]) drop(directory);
    },
  };
}
