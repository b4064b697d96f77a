import type { NodeEvent } from '@openline/packs';
import type { Detection, EventBatch, Gap, ObservedRecord, StateChange } from './event.ts';

/** For tests: records as an agent sends them. */

const AT = new Date('2026-01-01T00:00:00Z');

export const nodeEvent = (message: string, over: Partial<NodeEvent> = {}): NodeEvent => ({
  log: 'agent',
  source: 'demo',
  id: '1',
  level: 'error',
  atUnixMs: AT.getTime(),
  message,
  data: {},
  ...over,
});

export function detection(seq: number, over: Partial<Detection> = {}): ObservedRecord {
  return {
    seq,
    at: AT,
    kind: 'detection',
    watch: 'p/r',
    count: 1,
    events: [nodeEvent(`event of ${seq}`)],
    alert: { severity: 'warning', title: 'it happened', description: `record ${seq}`, key: '' },
    run: undefined,
    ...over,
  };
}

export function stateChange(
  seq: number,
  to: StateChange['to'],
  { at = AT, ...over }: Partial<StateChange> & { at?: Date } = {},
): ObservedRecord {
  const ill = to === 'warning' || to === 'critical';
  return {
    seq,
    at,
    kind: 'state_change',
    pack: 'p',
    monitor: 'disk',
    instance: '/',
    to,
    reason: '',
    sampleJson: '',
    events: [],
    alert: ill ? { severity: to, title: `the disk is ${to}`, description: '', key: '/' } : undefined,
    diagnostic: undefined,
    recoveries: [],
    ...over,
  };
}

export const gap = (seq: number, over: Partial<Gap> = {}): ObservedRecord => ({
  seq,
  at: AT,
  kind: 'gap',
  log: 'kernel',
  reason: 'flood',
  events: 7,
  ...over,
});

export function batchFrom(
  agentId: string,
  records: readonly ObservedRecord[],
  over: Partial<EventBatch> = {},
): EventBatch {
  const firstSeq = records[0]?.seq ?? 1;
  return {
    agentId,
    epoch: 1,
    spoolId: 'spool',
    records,
    firstSeq,
    lastSeq: records.at(-1)?.seq ?? 1,
    afterSeq: firstSeq - 1,
    weight: 1_000,
    arrivedMs: 0,
    clockBehindMs: 0,
    ...over,
  };
}
