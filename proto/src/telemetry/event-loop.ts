import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Gauge, Labelled } from './metric-types.ts';

const WINDOW_MS = 15_000;
const QUANTILES = ['0.5', '0.99', '1'] as const;

/**
 * Sets a gauge, seconds, from complete windows of 15 s, so that two scrapers see the same.
 * @param resolutionMs how often the loop is looked at: each look wakes the process
 * @returns stops it
 */
export function watchEventLoop(lag: Labelled<Gauge, 'quantile'>, resolutionMs: number): () => void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  const show = () => {
    for (const quantile of QUANTILES) {
      const nanoseconds = delay.percentile(Number(quantile) * 100);
      // The sampling interval itself is part of what is measured.
      lag.with({ quantile }).set(Math.max(0, nanoseconds / 1e9 - resolutionMs / 1000));
    }
    delay.reset();
  };
  show();
  delay.enable();
  const timer = setInterval(show, WINDOW_MS).unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
