import type { Metrics } from '../telemetry/metrics.ts';
import type { DeskDeps } from './desk.ts';

type Observer = Required<Pick<DeskDeps, 'observeBatch' | 'observeEnd' | 'observeDurable' | 'observeOutput'>>;

/** Counts what the desk commits. */
export function createDeskObserver(metrics: Metrics): Observer {
  return {
    observeBatch(kind, size, seconds) {
      const batch = kind === 'changes' ? 'reports' : 'output';
      metrics.commitBatchItems.with({ batch }).observe(size);
      metrics.commitFlushSeconds.with({ batch }).observe(seconds);
    },
    observeEnd: (state) => metrics.dispatches.with({ state }).inc(),
    observeDurable: (seconds) => metrics.dispatchStage.with({ stage: 'ended_durable' }).observe(seconds),
    observeOutput(bytes, droppedBytes) {
      metrics.outputBytes.inc(bytes);
      metrics.outputDroppedBytes.inc(droppedBytes);
    },
  };
}
