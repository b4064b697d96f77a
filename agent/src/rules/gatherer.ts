import type { NodeEvent } from '@openline/packs';
import type { Detection, Outcome } from '@openline/packs/engine';
import { EventRecord } from '@openline/proto/agent';
import { MAX_EVENTS_BEHIND } from '@openline/proto/limits';
import type { NewRecord } from '../spool/event-spool.ts';
import type { StateChange } from '../spool/state.ts';
import {
  type CountedMetric,
  detectionRecord,
  type Fired,
  type GapSpan,
  gapRecord,
  metricsRecord,
  stateRecord,
} from './records.ts';

/**
 * Turns outcomes into records: the first detection of a rule and key at once, those that follow within a moment as one with a count; counts of
 * metrics and gaps gathered for longer. What is still gathered is part of the state, so that a crash loses nothing of it.
 */
export interface Gatherer {
  add(outcome: Outcome, nowMs: number): void;
  gap(span: GapSpan, nowMs: number): void;
  /** Makes records of what was gathered for long enough. */
  close(nowMs: number): void;
  /** When `close` has something to do. */
  dueAtMs(): number | undefined;
  /** Records that nobody has taken. */
  readyRecords(): number;
  /** All that is ready, and what became of the state since it was last taken. */
  take(nowUnixMs: number): { readonly records: readonly NewRecord[]; readonly change: StateChange };
}

/** The same rule and key within this time travels as one. */
export const COALESCE_MS = 1_000;
const METRICS_EVERY_MS = 10_000;
const GAPS_EVERY_MS = 2_000;
/** Beyond so many rules and keys within a moment each detection travels alone. */
const MAX_WINDOWS = 10_000;

/** Names of what is in the state. */
export const PENDING = 'pending/';

interface Window {
  readonly untilMs: number;
  /** After the first, which is on its way. */
  pending: { newest: Detection; count: number; eventCount: number; events: NodeEvent[] } | undefined;
}

interface Gathered<T> {
  readonly dueAtMs: number;
  value: T;
}

/** @param restored of an earlier process: `PENDING…` → what `take` said */
export function createGatherer(restored: Readonly<Record<string, unknown>>): Gatherer {
  const ready: NewRecord[] = [];
  const windows = new Map<string, Window>();
  const gaps = new Map<string, Gathered<GapSpan>>();
  let metrics: Gathered<Map<string, CountedMetric>> | undefined;
  /** What has changed since it was last taken. */
  const changed = new Set<string>();
  const persisted = new Set<string>();

  for (const [key, value] of Object.entries(restored)) {
    if (!key.startsWith(PENDING) || typeof value !== 'string') continue;
    ready.push(EventRecord.decode(Buffer.from(value, 'base64')));
    persisted.add(key);
    changed.add(key);
  }

  function detected(detection: Detection, nowMs: number): void {
    const { rule, key } = detection;
    const name = `${PENDING}${rule.pack}/${rule.name}/${key}`;
    const window = windows.get(name);
    if (window === undefined || window.untilMs <= nowMs) {
      if (window !== undefined) shut(name, window);
      ready.push(detectionRecord(firedOnce(detection)));
      if (windows.size < MAX_WINDOWS) windows.set(name, { untilMs: nowMs + COALESCE_MS, pending: undefined });
      return;
    }
    window.pending ??= { newest: detection, count: 0, eventCount: 0, events: [] };
    const { pending } = window;
    pending.newest = detection;
    pending.count += 1;
    pending.eventCount += detection.eventCount;
    pending.events.push(...detection.events);
    if (pending.events.length > 4 * MAX_EVENTS_BEHIND) pending.events = pending.events.slice(-MAX_EVENTS_BEHIND);
    changed.add(name);
  }

  function shut(name: string, { pending }: Window): void {
    windows.delete(name);
    if (pending === undefined) return;
    ready.push(detectionRecord(pending));
    changed.add(name);
  }

  function counted({ pack, metric, count }: CountedMetric, nowMs: number): void {
    metrics ??= { dueAtMs: nowMs + METRICS_EVERY_MS, value: new Map() };
    const key = `${pack}/${metric}`;
    const before = metrics.value.get(key)?.count ?? 0;
    metrics.value.set(key, { pack, metric, count: before + count });
    changed.add(METRICS);
  }

  /** What of this name is gathered at present, as a record. */
  function gathered(name: string, nowUnixMs: number): NewRecord | undefined {
    const pending = windows.get(name)?.pending;
    // Written often and read back only after a crash: the count is exact, and of the events the newest will do.
    if (pending !== undefined) return detectionRecord({ ...pending, events: pending.events.slice(-1) });
    const gap = gaps.get(name)?.value;
    if (gap !== undefined) return gapRecord(gap);
    if (name !== METRICS || metrics === undefined) return undefined;
    return metricsRecord([...metrics.value.values()], nowUnixMs);
  }

  return {
    add(outcome, nowMs) {
      switch (outcome.kind) {
        case 'detection':
          return detected(outcome, nowMs);
        case 'state':
          ready.push(stateRecord(outcome));
          return;
        case 'metric':
          return counted(outcome, nowMs);
        default:
          return outcome satisfies never;
      }
    },
    gap(span, nowMs) {
      const name = `${GAP}${span.log}/${span.reason}`;
      const before = gaps.get(name);
      if (before === undefined) gaps.set(name, { dueAtMs: nowMs + GAPS_EVERY_MS, value: span });
      else before.value = joined(before.value, span);
      changed.add(name);
    },
    close(nowMs) {
      for (const [name, window] of windows) {
        // They are in the order in which they end.
        if (window.untilMs > nowMs) break;
        const went = window.pending !== undefined;
        shut(name, window);
        // What goes on is gathered on.
        if (went) windows.set(name, { untilMs: nowMs + COALESCE_MS, pending: undefined });
      }
      for (const [name, gap] of gaps) {
        if (gap.dueAtMs > nowMs) continue;
        ready.push(gapRecord(gap.value));
        gaps.delete(name);
        changed.add(name);
      }
      if (metrics !== undefined && metrics.dueAtMs <= nowMs) {
        ready.push(metricsRecord([...metrics.value.values()], 0));
        metrics = undefined;
        changed.add(METRICS);
      }
    },
    dueAtMs() {
      let due = metrics?.dueAtMs ?? Number.POSITIVE_INFINITY;
      for (const { dueAtMs } of gaps.values()) due = Math.min(due, dueAtMs);
      for (const { untilMs, pending } of windows.values()) {
        if (untilMs >= due) break;
        if (pending !== undefined) due = untilMs;
      }
      return due === Number.POSITIVE_INFINITY ? undefined : due;
    },
    readyRecords: () => ready.length,
    take(nowUnixMs) {
      const set: Record<string, string> = {};
      const removed: string[] = [];
      for (const name of changed) {
        const record = gathered(name, nowUnixMs);
        if (record !== undefined) {
          set[name] = Buffer.from(EventRecord.encode({ ...record, seq: 0n }).finish()).toString('base64');
          persisted.add(name);
        } else if (persisted.delete(name)) removed.push(name);
      }
      changed.clear();
      const records = ready.splice(0).map((record) => stamped(record, nowUnixMs));
      return { records, change: { set, removed } };
    },
  };
}

const METRICS = `${PENDING}:metrics`;
const GAP = `${PENDING}:gap/`;

function firedOnce(detection: Detection): Fired {
  const { eventCount, events } = detection;
  return { newest: detection, count: 1, eventCount, events };
}

function joined(a: GapSpan, b: GapSpan): GapSpan {
  return {
    ...a,
    events: a.events + b.events,
    fromUnixMs: Math.min(a.fromUnixMs, b.fromUnixMs),
    toUnixMs: Math.max(a.toUnixMs, b.toUnixMs),
  };
}

/** Counts have no time of their own. */
function stamped(record: NewRecord, nowUnixMs: number): NewRecord {
  return record.atUnixMs > 0n ? record : { ...record, atUnixMs: BigInt(Math.max(0, Math.round(nowUnixMs))) };
}
