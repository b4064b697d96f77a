import type { Clock } from '../clock.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Time that only the test moves. @param startUnixMs of the wall clock, which then goes along, and can be set */
export function manualClock(startUnixMs = 0) {
  let nowMs = 0;
  let wallAheadMs = startUnixMs;
  let timers: { atMs: number; run: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    unixMs: () => nowMs + wallAheadMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.push(timer);
      return {
        cancel() {
          timers = timers.filter((one) => one !== timer);
        },
      };
    },
  };
  return {
    clock,
    /** Sets the wall clock forward, or back. */
    setWall(byMs: number): void {
      wallAheadMs += byMs;
    },
    /** Runs what is due on the way to this monotonic time. */
    async to(ms: number): Promise<void> {
      await turn();
      for (;;) {
        const [next] = timers.filter(({ atMs }) => atMs <= ms).sort((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        timers = timers.filter((one) => one !== next);
        nowMs = Math.max(nowMs, next.atMs);
        next.run();
        await turn();
      }
      nowMs = ms;
      await turn();
    },
  };
}
