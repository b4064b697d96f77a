import * as proto from '@openline/proto/agent';
import { MAX_EVENT_RECORDS } from '@openline/proto/limits';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventBatch } from '../events/event.ts';
import { batchOf } from './event-intake.ts';

const now = new Date('2026-01-01T00:00:00Z');
const arrival = { agentId: 'a', epoch: 3, now, nowMs: 7 };
const RULE = { packName: 'linux', packVersion: '1.0.0', name: 'oom' };

type Kind = NonNullable<proto.EventRecord['kind']>;
const record = (seq: number, kind?: Kind, atUnixMs = BigInt(now.getTime())): proto.EventRecord => ({
  seq: BigInt(seq),
  atUnixMs,
  ...(kind === undefined ? {} : { kind }),
});
const detection = (over: Partial<proto.Detection> = {}): Kind => ({
  $case: 'detection',
  value: { ...proto.Detection.create(), rule: RULE, count: 1, eventCount: 1n, ...over },
});
const change = (over: Partial<proto.StateChange> = {}): Kind => ({
  $case: 'stateChange',
  value: { ...proto.StateChange.create(), monitor: RULE, to: proto.HealthState.HEALTH_STATE_CRITICAL, ...over },
});
const event = (over: Partial<proto.Event> = {}): proto.Event => ({ ...proto.Event.create(), message: 'm', ...over });

function read(records: proto.EventRecord[], over: Partial<proto.EventBatch> = {}): EventBatch {
  const batch = batchOf({ spoolId: 's', records, ...over }, arrival);
  if (typeof batch === 'string') throw new Error(batch);
  return batch;
}
/** The first record, as a detection. */
function readDetection(over: Partial<proto.Detection>) {
  const [first] = read([record(1, detection(over))]).records;
  if (first?.kind !== 'detection') throw new Error('no detection');
  return first;
}

describe('a batch of events', () => {
  it('is what it says, with what its agent and session are', () => {
    const batch = read([record(4, detection()), record(9, change())], {
      afterSeq: 2n,
      sentUnixMs: BigInt(now.getTime() - 30),
    });
    expect(batch).toMatchObject({
      ...{ agentId: 'a', epoch: 3, spoolId: 's', firstSeq: 4, lastSeq: 9, afterSeq: 2 },
      ...{ arrivedMs: 7, clockBehindMs: 30 },
      records: [
        { kind: 'detection', seq: 4, at: now, watch: 'linux/oom', count: 1 },
        { kind: 'state_change', seq: 9, pack: 'linux', monitor: 'oom', to: 'critical' },
      ],
    });
  });
  it('that says nothing of its clock, or of what went before, is taken for the next', () => {
    expect(read([record(4)])).toMatchObject({ afterSeq: 3, clockBehindMs: undefined });
  });
  it.each([
    ['without a spool', { spoolId: '' }],
    ['of an endless spool', { spoolId: 'x'.repeat(65) }],
    ['without records', { records: [] }],
    ['of too many records', { records: Array.from({ length: MAX_EVENT_RECORDS + 1 }, (_, i) => record(i + 1)) }],
    ['whose numbers do not rise', { records: [record(2), record(2)] }],
    ['whose numbers begin at 0', { records: [record(0)] }],
    ['whose numbers are no numbers', { records: [{ ...record(1), seq: 2n ** 63n }] }],
  ])('%s breaks the protocol', (_, over) => {
    expect(batchOf({ spoolId: 's', records: [record(1)], ...over }, arrival)).toMatch(/^events: /);
  });
  it('with records of a kind that this server does not know is taken without them, and to its end', () => {
    expect(read([record(1), record(5)])).toMatchObject({ records: [], firstSeq: 1, lastSeq: 5 });
  });
});

describe('what is in a batch', () => {
  it('that nobody can name is left out', () => {
    const nameless = [
      detection({ rule: undefined as never }),
      detection({ rule: { ...RULE, name: '' } }),
      detection({ rule: { ...RULE, packName: 'a/b' } }),
      change({ monitor: { ...RULE, name: 'x'.repeat(65) } }),
    ];
    expect(read(nameless.map((kind, i) => record(i + 1, kind))).records).toEqual([]);
  });
  it('of a clock that is a day ahead, or says nothing, happened now', () => {
    const ahead = BigInt(now.getTime() + 25 * 3600_000);
    const batch = read([
      record(1, detection({ events: [event({ atUnixMs: ahead })] }), ahead),
      record(2, change(), 0n),
    ]);
    expect(batch.records).toMatchObject([{ at: now, events: [{ atUnixMs: now.getTime() }] }, { at: now }]);
  });
  it('is cut where it is too long, and keeps the newest events', () => {
    const { events, alert } = readDetection({
      events: Array.from({ length: 30 }, (_, i) => event({ message: `${i} ${'x'.repeat(9_000)}` })),
      alert: { severity: 2, title: 't'.repeat(900), description: 'd'.repeat(9_000), key: '' },
    });
    expect(events).toHaveLength(20);
    expect([events[0]?.message.slice(0, 3), events[0]?.message.length]).toEqual(['10 ', 4_096]);
    expect([alert?.title.length, alert?.description.length]).toEqual([300, 4_096]);
  });
  it('has keys that stay apart when they are cut', () => {
    const key = (end: string) =>
      readDetection({ alert: { severity: 2, title: '', description: '', key: `${'k'.repeat(300)}${end}` } }).alert?.key;
    expect(key('a')).toHaveLength(256);
    expect(key('a')).not.toBe(key('b'));
    expect(key('a')).toBe(key('a'));
    const instance = read([record(1, change({ instance: `${'k'.repeat(300)}a` }))]).records[0];
    expect(instance).toMatchObject({ instance: key('a') });
  });
  it('has data that are an object and of bearable size, or says that they were left out', () => {
    const data = (dataJson: string) => readDetection({ events: [event({ dataJson })] }).events[0]?.data;
    expect(data('{"a":[1]}')).toEqual({ a: [1] });
    expect(data('')).toEqual({});
    const leftOut = { note: 'the data of this event were too large, or not a JSON object' };
    for (const bad of [
      '{"a":',
      '[1]',
      'null',
      `{"a":"${'x'.repeat(9_000)}"}`,
      `{"a":${'['.repeat(40)}${']'.repeat(40)}}`,
    ]) {
      expect(data(bad)).toEqual(leftOut);
    }
    // Brackets in text are no depth.
    expect(data(`{"a":"${'['.repeat(99)}\\""}`)).toEqual({ a: `${'['.repeat(99)}"` });
  });
  it('asks for no task that cannot be one', () => {
    const run = (over: Partial<proto.TaskAnswer>) =>
      readDetection({ run: { packName: 'p', taskName: 't', parametersJson: '{}', cooldownMs: 5_000n, ...over } }).run;
    expect(run({})).toEqual({ task: 'p/t', parametersJson: '{}', cooldownMs: 5_000 });
    expect(run({ parametersJson: '' })?.parametersJson).toBe('{}');
    expect(run({ cooldownMs: 0n })?.cooldownMs).toBe(1_000);
    expect(run({ cooldownMs: 2n ** 60n })?.cooldownMs).toBe(7 * 24 * 3600_000);
    expect([run({ taskName: '' }), run({ parametersJson: '[]' }), run({ packName: 'p@1' })]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
  it('with a state that is no state is unknown; with none it is not monitored any more', () => {
    const to = (state: number) => {
      const [first] = read([record(1, change({ to: state as proto.HealthState }))]).records;
      return first?.kind === 'state_change' ? first.to : 'not read';
    };
    expect([to(0), to(1), to(2), to(3), to(4)]).toEqual([undefined, 'healthy', 'warning', 'critical', 'unknown']);
  });
});

it('whatever an agent sends as a batch is read or refused, and what is read can be stored', () => {
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom('\0', '{"a":"\\u0000"}', '\ud800', 'linux', '{}'),
  );
  const number = fc.oneof(fc.integer({ min: -5, max: 12 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31)));
  const long = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.bigInt({ min: 0n, max: 9n }));
  const watch = fc.record({ packName: text, packVersion: text, name: fc.oneof(text, fc.constant('disk')) });
  const answer = fc.record({ packName: text, taskName: text, parametersJson: text, cooldownMs: long });
  const seen = fc.record({
    log: text,
    source: text,
    id: text,
    level: number,
    atUnixMs: long,
    message: text,
    dataJson: text,
  });
  const alert = fc.record({ severity: number, title: text, description: text, key: text });
  const kind = fc.oneof(
    fc
      .record({
        rule: watch,
        count: fc.nat(),
        events: fc.array(seen, { maxLength: 3 }),
        eventCount: long,
        alert,
        run: answer,
      })
      .map((value) => ({ $case: 'detection' as const, value })),
    fc
      .record({
        monitor: watch,
        instance: text,
        from: number,
        to: number,
        reason: text,
        sampleJson: text,
        events: fc.array(seen, { maxLength: 2 }),
        alert,
        diagnostic: answer,
        recoveries: fc.array(fc.record({ run: answer, when: text, most: fc.nat() }), { maxLength: 12 }),
      })
      .map((value) => ({ $case: 'stateChange' as const, value })),
    fc
      .record({ log: text, reason: text, events: long, fromUnixMs: long, toUnixMs: long })
      .map((value) => ({ $case: 'gap' as const, value })),
    fc
      .array(fc.record({ packName: text, metric: text, count: long }), { maxLength: 3 })
      .map((counts) => ({ $case: 'metricCounts' as const, value: { counts } })),
  );
  const records = fc.array(fc.record({ atUnixMs: long, kind: fc.option(kind, { nil: undefined }) }), { maxLength: 4 });
  fc.assert(
    fc.property(records, long, (given, sentUnixMs) => {
      const numbered = given.map((each, i) => ({ ...each, seq: BigInt(i + 1) }) as proto.EventRecord);
      const batch = batchOf({ spoolId: 's', records: numbered, sentUnixMs }, arrival);
      if (typeof batch === 'string') {
        expect(given).toEqual([]);
        return;
      }
      for (const stored of textsOf(batch.records)) expect(stored).not.toContain('\0');
      for (const each of batch.records) {
        expect(Number.isNaN(each.at.getTime())).toBe(false);
        if (each.kind === 'gap') expect(Number.isSafeInteger(each.events)).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

/** Every text that becomes one of PostgreSQL's, which has no NUL; data of events, and recoveries, are stored as JSON, which writes it otherwise. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) => (key === 'data' || key === 'recoveries' ? [] : textsOf(part)));
}
