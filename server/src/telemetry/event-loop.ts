import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Metrics } from './metrics.ts';

const WINDOW_MS = 15_000;
const RESOLUTION_MS = 10;
const PERCENTILES = ['50', '99', '100'] as const;

/**
 * Sets openline_event_loop_lag_seconds from complete windows of 15 s, so that two scrapers see the same.
 * @returns stops it
 */
export function watchEventLoop({ eventLoopLag }: Metrics): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const timer = setInterval(() => {
    for (const percentile of PERCENTILES) {
      const nanoseconds = delay.percentile(Number(percentile));
      // The sampling interval itself is part of what is measured.
      eventLoopLag.with({ percentile }).set(Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000));
    }
    delay.reset();
  }, WINDOW_MS).unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
