import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { writeFileAtomic } from '../files.ts';
import { STATE_FILES, type StateItem, type StateStore } from './state.ts';

/** In the data directory, which one server has at a time. Files 0600, in folders 0700. */
export function createFileStateStore(dataDir: string): StateStore {
  const fileOf = (item: StateItem) => join(dataDir, STATE_FILES[item]);

  function read(item: StateItem): string | undefined {
    try {
      return readFileSync(fileOf(item), 'utf8');
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
      throw unavailable(fileOf(item), cause);
    }
  }

  async function replace(item: StateItem, change: Parameters<StateStore['update']>[1]): Promise<string> {
    const kept = read(item);
    const next = await change(kept);
    if (next === kept) return next;
    try {
      mkdirSync(dirname(fileOf(item)), { recursive: true, mode: 0o700 });
      writeFileAtomic(fileOf(item), next);
    } catch (cause) {
      throw unavailable(fileOf(item), cause);
    }
    return next;
  }

  let underWay: Promise<unknown> = Promise.resolve();
  return {
    read: async (item) => read(item),
    update(item, change) {
      // One after the other: each begins with what the one before has written.
      const done = underWay.then(() => replace(item, change));
      underWay = done.catch(() => {});
      return done;
    },
  };
}

function unavailable(file: string, cause: unknown): OpenlineError {
  const reason = cause instanceof Error ? cause.message : 'unknown';
  return new OpenlineError('STATE_UNAVAILABLE', `${file}: ${reason}`, { cause });
}
