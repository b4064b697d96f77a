import { EventRecord, type Gap, type MetricCount, type StateChange } from '@openline/proto/agent';

export const SPOOL_LOG = 'spool';
export const SPOOL_FULL = 'the spool is full';

/**
 * What stays of records when there is no room for them: the newest state of each monitor and instance, gaps and counts put together, and how
 * many are gone. Detections count as often as they fired, anything else once. A record that is put together gets the highest number of
 * its parts: a server that has that one has them all.
 */
export interface Remnant {
  /** In the order of their numbers. */
  add(record: EventRecord): void;
  /** In the order of their numbers. */
  records(): EventRecord[];
}

/** @param keepUpTo up to here the server may have them, so they stay as they are @param keepBytes of states; beyond it the oldest go, too */
export function createRemnant(keepUpTo: number, keepBytes: number): Remnant {
  const kept: EventRecord[] = [];
  const states = new Map<string, EventRecord>();
  const gaps = new Map<string, { at: EventRecord; gap: Gap }>();
  const counts = new Map<string, MetricCount>();
  let countedAt: EventRecord | undefined;

  function addGap(at: EventRecord, gap: Gap): void {
    const key = `${gap.log}\0${gap.reason}`;
    const before = gaps.get(key);
    gaps.set(key, { at: laterOf(at, before?.at), gap: before === undefined ? gap : joinGaps(before.gap, gap) });
  }

  function drop(record: EventRecord, events: bigint): void {
    const { atUnixMs } = record;
    addGap(record, { log: SPOOL_LOG, reason: SPOOL_FULL, events, fromUnixMs: atUnixMs, toUnixMs: atUnixMs });
  }

  function addState(record: EventRecord, change: StateChange): void {
    const key = `${change.monitor?.packName}\0${change.monitor?.name}\0${change.instance}`;
    const older = states.get(key);
    // To the end, so that the oldest is the first. It starts where the dropped one did: for the server there is no break.
    states.delete(key);
    const from = older?.kind?.$case === 'stateChange' ? older.kind.value.from : change.from;
    states.set(key, { ...record, kind: { $case: 'stateChange', value: { ...change, from } } });
    if (older !== undefined) drop(older, 1n);
  }

  return {
    add(record) {
      const { kind } = record;
      if (record.seq <= keepUpTo) {
        kept.push(record);
        return;
      }
      switch (kind?.$case) {
        case 'detection':
          return drop(record, BigInt(Math.max(1, kind.value.count)));
        case 'stateChange':
          return addState(record, kind.value);
        case 'gap':
          return addGap(record, kind.value);
        case 'metricCounts':
          for (const one of kind.value.counts) {
            const key = `${one.packName}\0${one.metric}`;
            counts.set(key, { ...one, count: one.count + (counts.get(key)?.count ?? 0n) });
          }
          countedAt = record;
          return;
        case undefined:
          // Of a newer agent.
          return drop(record, 1n);
        default:
          kind satisfies never;
      }
    },
    records() {
      let bytes = [...states.values()].reduce((sum, record) => sum + sizeOf(record), 0);
      for (const [key, record] of states) {
        if (bytes <= keepBytes) break;
        bytes -= sizeOf(record);
        states.delete(key);
        drop(record, 1n);
      }
      const all = [...kept, ...states.values()];
      for (const { at, gap } of gaps.values()) all.push({ ...at, kind: { $case: 'gap', value: gap } });
      if (countedAt !== undefined) {
        all.push({ ...countedAt, kind: { $case: 'metricCounts', value: { counts: [...counts.values()] } } });
      }
      return all.sort((a, b) => (a.seq < b.seq ? -1 : 1));
    },
  };
}

function laterOf(a: EventRecord, b: EventRecord | undefined): EventRecord {
  return b === undefined || a.seq > b.seq ? a : b;
}

export function joinGaps(a: Gap, b: Gap): Gap {
  return {
    ...a,
    events: a.events + b.events,
    fromUnixMs: lesser(a.fromUnixMs, b.fromUnixMs),
    toUnixMs: -lesser(-a.toUnixMs, -b.toUnixMs),
  };
}

function sizeOf(record: EventRecord): number {
  return EventRecord.encode(record).finish().length;
}

function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
