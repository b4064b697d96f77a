import type { Clock } from '../clock.ts';
import { isStoreUnavailable } from '../db/store-errors.ts';
import type { RunStore } from './run-store.ts';

/** A server that is not ready is asked nothing, so it cannot wait for a success to be ready again. */
const FORGET_MS = 10_000;

/** Remembers for a while that a run could not be stored: on a full disk the database may answer all else, and no run is taken. */
export function noteRefusedRuns(
  store: RunStore,
  clock: Pick<Clock, 'nowMs'>,
): { store: RunStore; fault(): string | undefined } {
  let refused: { reason: string; atMs: number } | undefined;
  return {
    store: {
      ...store,
      async insertRun(...args) {
        try {
          const inserted = await store.insertRun(...args);
          refused = undefined;
          return inserted;
        } catch (error) {
          if (isStoreUnavailable(error) && error instanceof Error)
            refused = { reason: `storing a run: ${error.message}`, atMs: clock.nowMs() };
          throw error;
        }
      },
    },
    fault: () => (refused !== undefined && clock.nowMs() - refused.atMs < FORGET_MS ? refused.reason : undefined),
  };
}
