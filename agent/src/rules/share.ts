/**
 * How much of the processor the rules may take: work is done in slices, and over time no more of it than the share. What was not used is saved up
 * for a moment, so that a short burst runs at full speed.
 */
export interface Share {
  /**
   * After a slice.
   * @param usedMs of the processor: on a busy machine that is less than what went by
   * @returns how long to rest before the next one, milliseconds
   */
  worked(usedMs: number, nowMs: number): number;
}

/** Saved up at most. */
const BURST_MS = 500;

/** @param share over 0, up to 1: all of it */
export function createShare(share: number): Share {
  let savedMs = BURST_MS;
  let atMs: number | undefined;
  return {
    worked(usedMs, nowMs) {
      if (share >= 1) return 0;
      savedMs = Math.min(BURST_MS, savedMs + share * (nowMs - (atMs ?? nowMs - usedMs)));
      savedMs -= usedMs;
      atMs = nowMs;
      return savedMs >= 0 ? 0 : -savedMs / share;
    },
  };
}
