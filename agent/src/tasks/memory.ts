import type { Clock } from './clock.ts';

/** The ids of committed dispatches, remembered beyond their time to live so that a replayed task is never started again. */
export interface Memory {
  has(runId: string): boolean;
  /** @param untilMs monotonic */
  remember(runId: string, untilMs: number): void;
  entries(): Iterable<readonly [runId: string, untilMs: number]>;
}

/** An id outlives the time to live of its run by this much. */
export const REMEMBER_AFTER_EXPIRY_MS = 3_600_000;

export function createMemory(clock: Clock, onForget: (runId: string) => void): Memory {
  const until = new Map<string, number>();
  let sweepAt = 1_024;

  function sweep(): void {
    const nowMs = clock.nowMs();
    for (const [runId, untilMs] of until) {
      if (untilMs > nowMs) continue;
      until.delete(runId);
      onForget(runId);
    }
    sweepAt = Math.max(1_024, 2 * until.size);
  }

  return {
    has: (runId) => until.has(runId),
    remember(runId, untilMs) {
      until.set(runId, untilMs);
      if (until.size >= sweepAt) sweep();
    },
    entries() {
      sweep();
      return until.entries();
    },
  };
}
