import type { Gauge } from '@openline/proto/metric-types';
import type { Clock } from '../tasks/clock.ts';

const WINDOW_MS = 15_000;
/** An idle agent sleeps; it is woken twice a second to see whether it could be. */
const LOOK_MS = 500;

/**
 * Sets a gauge to the worst delay of each window of 15 s, seconds, so that two scrapers see the same. By a timer: the worst is all that is shown, and takes no
 * histogram.
 * @returns stops it
 */
export function watchEventLoop(worst: Gauge, clock: Clock): () => void {
  let windowEndsMs = clock.nowMs() + WINDOW_MS;
  let worstMs = 0;
  let timer = lookAt(clock.nowMs() + LOOK_MS);

  function lookAt(dueMs: number) {
    return clock.after(LOOK_MS, () => {
      const nowMs = clock.nowMs();
      worstMs = Math.max(worstMs, nowMs - dueMs);
      if (nowMs >= windowEndsMs) {
        worst.set(worstMs / 1000);
        worstMs = 0;
        windowEndsMs = nowMs + WINDOW_MS;
      }
      timer = lookAt(nowMs + LOOK_MS);
    });
  }

  return () => timer.cancel();
}
