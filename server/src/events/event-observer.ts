import type { PackService } from '../packs/pack-service.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type MetricCounts, RECORD_KINDS } from './event.ts';
import type { EventObserver } from './event-desk.ts';
import type { Slice } from './plan.ts';

/** Counts what was taken in. Each record once: it is told after the commit that made it known. */
export function createEventObserver(metrics: Metrics, packs: Pick<PackService, 'list'>): EventObserver {
  const byKind = new Map(RECORD_KINDS.map((kind) => [kind, metrics.eventRecords.with({ kind })]));
  const batchItems = metrics.commitBatchItems.with({ batch: 'events' });
  const flushSeconds = metrics.commitFlushSeconds.with({ batch: 'events' });
  return {
    committed(records, seconds) {
      batchItems.observe(records);
      flushSeconds.observe(seconds);
    },
    taken({ records, clockBehindMs }: Slice, now) {
      for (const record of records) {
        byKind.get(record.kind)?.inc();
        if (record.kind === 'gap') metrics.eventGapEvents.inc(record.events);
        if (record.kind === 'metric_counts') countMetrics(metrics, packs, record);
        const alerts = (record.kind === 'detection' || record.kind === 'state_change') && record.alert !== undefined;
        if (alerts && clockBehindMs !== undefined) {
          const sinceMs = now.getTime() - record.at.getTime() - clockBehindMs;
          metrics.eventAlert.observe(Math.max(0, sinceMs) / 1000);
        }
      }
    },
    durable: (seconds) => metrics.eventDurable.observe(seconds),
    unread: () => metrics.eventBatchesUnread.inc(),
  };
}

/** Only names that a pack has: an agent must not be able to make series without end. */
function countMetrics(metrics: Metrics, packs: Pick<PackService, 'list'>, { counts }: MetricCounts): void {
  const known = packs.list();
  for (const { pack, metric, count } of counts) {
    const named = known.some(
      (stored) => stored.pack.name === pack && [...stored.pack.rules.values()].some((rule) => rule.metric === metric),
    );
    metrics.packEvents.with({ metric: named ? `${pack}/${metric}` : 'other' }).inc(count);
  }
}
