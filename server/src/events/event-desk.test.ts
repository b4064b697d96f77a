import { describe, expect, it } from 'vitest';
import { AT, allAlerts, enrol, testDesk } from '../alerts/testing.ts';
import { systemClock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import type { RecordKind } from './event.ts';
import { createEventDesk, type EventDeskDeps } from './event-desk.ts';
import { createTakeIn, type Piece, type TakeIn } from './take-in.ts';
import { batchFrom, detection, gap, nodeEvent, stateChange } from './testing.ts';

const db = withTestDatabase();

/** A desk on the real store, and what it said. */
function start({
  over = {},
  wrap = (x) => x,
}: {
  over?: Partial<EventDeskDeps>;
  wrap?: (takeIn: TakeIn) => TakeIn;
} = {}) {
  const alerts = testDesk(db.pool);
  const acks: string[] = [];
  const taken: Record<string, RecordKind[]> = {};
  const faults: string[] = [];
  let unread = 0;
  const takeIn = createTakeIn({ pool: db.pool, alerts: alerts.desk, clock: { now: () => AT }, newId });
  const desk = createEventDesk({
    takeIn: wrap(takeIn),
    clock: { ...systemClock, now: () => AT, sleep: () => new Promise((resolve) => setTimeout(resolve, 1)) },
    acknowledge: (agentId, spoolId, seq) => void acks.push(`${agentId} ${spoolId} ${seq}`),
    answersDue() {},
    stored() {},
    onFault: (what, error) => void faults.push(`${what}: ${error instanceof Error ? error.message : error}`),
    observe: {
      committed() {},
      taken: ({ agentId, records }) => {
        taken[agentId] = [...(taken[agentId] ?? []), ...records.map(({ kind }) => kind)];
      },
      durable() {},
      unread: () => void unread++,
    },
    ...over,
  });
  return { desk, takeIn, acks, taken, faults, alerts, unread: () => unread };
}

const rows = async (sql: string) => (await db.pool.query(sql)).rows;
const monitors = () =>
  rows('select agent_id, monitor, instance, state, spell <> $$$$ as ill, hushed from monitor_states order by 1, 2, 3');

describe('what an agent observed', () => {
  it('and was not taken in yet when it was revoked, raises no alert that nobody would end', async () => {
    await enrol(db.pool, 'a');
    await db.pool.query('update agents set revoked_at = now()');
    const { desk, acks } = start();
    desk.take(batchFrom('a', [detection(1)]));
    await desk.idle();
    expect([acks, await allAlerts(db.pool)]).toEqual([[], []]);
  });

  it('is durable in every part of it before it is acknowledged', async () => {
    await enrol(db.pool, 'a');
    const { desk, acks, taken } = start();
    const behind = [nodeEvent('one', { level: 'warning', data: { n: 1 } }), nodeEvent('two')];
    desk.take(
      batchFrom('a', [
        detection(1, { count: 5, events: behind }),
        stateChange(2, 'critical', { reason: 'used 99 %', sampleJson: '{"used":99}' }),
        gap(4),
        { seq: 9, at: AT, kind: 'metric_counts', counts: [{ pack: 'p', metric: 'm', count: 3 }] },
      ]),
    );
    await desk.idle();
    expect(acks).toEqual(['a spool 9']);
    expect(taken).toEqual({ a: ['detection', 'state_change', 'gap', 'metric_counts'] });
    expect(await allAlerts(db.pool)).toMatchObject([
      { subject: { kind: 'rule', watch: 'p/r', key: '' }, count: 5, title: 'it happened', description: 'record 1' },
      { subject: { kind: 'monitor', watch: 'p/disk', key: '/' }, severity: 'critical', count: 1 },
    ]);
    expect(await rows('select message from alert_events order by seq')).toEqual([
      { message: 'one' },
      { message: 'two' },
    ]);
    expect(
      await rows('select watch, level, message, data, alert_id is not null as behind, lost from events order by id'),
    ).toEqual([
      { watch: 'p/r', level: 3, message: 'one', data: '{"n":1}', behind: true, lost: null },
      { watch: 'p/r', level: 4, message: 'two', data: '', behind: true, lost: null },
      { watch: '', level: 3, message: '7 events are missing: flood', data: '', behind: false, lost: 7 },
    ]);
    expect(await rows('select state, reason, sample, since from monitor_states')).toEqual([
      { state: 3, reason: 'used 99 %', sample: '{"used":99}', since: AT },
    ]);
    expect(await rows('select spool_id, seq from event_positions')).toEqual([{ spool_id: 'spool', seq: 9 }]);
  });

  it('takes effect once, however often it is sent, and in whatever pieces', async () => {
    await enrol(db.pool, 'a');
    const { desk, taken } = start();
    const records = [1, 2, 3, 4, 5, 6].map((seq) => detection(seq));
    for (const [from, to] of [
      [0, 3],
      [0, 3],
      [1, 5],
      [0, 6],
      [5, 6],
    ] as const) {
      desk.take(batchFrom('a', records.slice(from, to)));
      await desk.idle();
    }
    expect((await allAlerts(db.pool)).map(({ count }) => count)).toEqual([6]);
    expect(await rows('select count(*) as n from events')).toEqual([{ n: 6 }]);
    expect(taken['a']).toHaveLength(6);
  });

  it('takes effect once also when the commit was made and its answer was lost', async () => {
    await enrol(db.pool, 'a');
    let losses = 3;
    const { desk, acks } = start({
      wrap: (takeIn) => async (pieces) => {
        const done = await takeIn(pieces);
        if (losses-- > 0) throw Object.assign(new Error('connection terminated'), { code: '08006' });
        return done;
      },
    });
    desk.take(batchFrom('a', [detection(1), detection(2)]));
    await desk.idle();
    expect(acks).toEqual(['a spool 2']);
    expect((await allAlerts(db.pool)).map(({ count }) => count)).toEqual([2]);
  });

  it('of a new spool begins anew', async () => {
    await enrol(db.pool, 'a');
    const { desk, acks } = start();
    desk.take(batchFrom('a', [detection(1), detection(2)]));
    await desk.idle();
    desk.take(batchFrom('a', [detection(1)], { spoolId: 'other', epoch: 1 }));
    await desk.idle();
    expect(acks).toEqual(['a spool 2', 'a other 1']);
    expect((await allAlerts(db.pool)).map(({ count }) => count)).toEqual([3]);
  });

  it('over a session that is not the newest is neither taken in nor acknowledged', async () => {
    await enrol(db.pool, 'a', {}, 5);
    const { desk, acks } = start();
    desk.take(batchFrom('a', [detection(1)], { epoch: 4 }));
    desk.take(batchFrom('gone', [detection(1)]));
    await desk.idle();
    expect(acks).toEqual([]);
    expect(await allAlerts(db.pool)).toEqual([]);
    desk.take(batchFrom('a', [detection(1)], { epoch: 5 }));
    await desk.idle();
    expect(acks).toEqual(['a spool 1']);
  });
});

describe('two replicas that take in the same', () => {
  it('take effect once', async () => {
    for (const id of ['a', 'b', 'c']) await enrol(db.pool, id);
    const { takeIn } = start();
    const pieces = (ids: string[]) =>
      ids.map(
        (id): Piece =>
          batchFrom(
            id,
            [1, 2, 3].map((seq) => detection(seq)),
          ),
      );
    await Promise.all([
      ...[
        ['a', 'b', 'c'],
        ['c', 'b', 'a'],
        ['b', 'a'],
      ].map((ids) => takeIn(pieces(ids))),
      takeIn(pieces(['c'])),
    ]);
    expect((await allAlerts(db.pool)).map(({ agentName, count }) => [agentName, count]).sort()).toEqual([
      ['a', 3],
      ['b', 3],
      ['c', 3],
    ]);
  });
});

describe('many agents', () => {
  it('commit together, and one that floods does not hold up the others', async () => {
    const ids = Array.from({ length: 30 }, (_, i) => `a${i}`);
    for (const id of ids) await enrol(db.pool, id);
    const commits: { agents: number; records: number; flood: number }[] = [];
    const { desk, acks } = start({
      wrap: (takeIn) => (pieces) => {
        const flood = pieces.find(({ agentId }) => agentId === 'a0')?.records.length ?? 0;
        commits.push({ agents: pieces.length, records: pieces.reduce((n, p) => n + p.records.length, 0), flood });
        return takeIn(pieces);
      },
    });
    const flood = Array.from({ length: 1_000 }, (_, i) => detection(i + 1));
    for (let n = 0; n < 3; n++) {
      desk.take(
        batchFrom(
          'a0',
          flood.map((r) => ({ ...r, seq: r.seq + n * 1_000 })),
          { afterSeq: n * 1_000 },
        ),
      );
    }
    for (const id of ids.slice(1)) desk.take(batchFrom(id, [detection(1)]));
    await desk.idle();
    expect(commits[0]).toEqual({ agents: 30, records: 529, flood: 500 });
    expect(commits.map(({ flood: n }) => n)).toEqual([500, 500, 500, 500, 500, 500]);
    expect(acks.filter((ack) => ack.startsWith('a0 '))).toEqual(
      [500, 1000, 1500, 2000, 2500, 3000].map((seq) => `a0 spool ${seq}`),
    );
    expect((await allAlerts(db.pool)).reduce((sum, { count }) => sum + count, 0)).toBe(3_029);
  });

  it('do not wait for one whose records cannot be stored: it is said, left unread, and taken in when that was mended', async () => {
    for (const id of ['a', 'b', 'c']) await enrol(db.pool, id);
    let broken = true;
    const { desk, acks, faults, unread } = start({
      wrap: (takeIn) => async (pieces) => {
        if (broken && pieces.some(({ agentId }) => agentId === 'b')) throw new Error('no such subscription');
        return takeIn(pieces);
      },
    });
    for (const id of ['a', 'b', 'c']) desk.take(batchFrom(id, [detection(1), detection(2)]));
    desk.take(batchFrom('b', [detection(3)]));
    await desk.idle();
    expect(acks.toSorted()).toEqual(['a spool 2', 'c spool 2']);
    expect(faults).toEqual(['taking in the events of one agent: no such subscription']);
    expect(unread()).toBe(1);
    broken = false;
    desk.take(batchFrom('b', [detection(4)]));
    desk.take(batchFrom('b', [detection(1), detection(2), detection(3)]));
    desk.take(batchFrom('b', [detection(4)]));
    await desk.idle();
    expect(acks.filter((ack) => ack.startsWith('b'))).toEqual(['b spool 3', 'b spool 4']);
    expect((await allAlerts(db.pool)).map(({ count }) => count)).toEqual([2, 2, 4]);
  });

  it('are all taken in when the database is back', async () => {
    for (const id of ['a', 'b']) await enrol(db.pool, id);
    let refusals = 4;
    const refused = Promise.withResolvers<void>();
    const { desk, acks } = start({
      over: { onFault: () => refused.resolve() },
      wrap: (takeIn) => async (pieces) => {
        if (refusals-- > 0) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
        return takeIn(pieces);
      },
    });
    for (const id of ['a', 'b']) desk.take(batchFrom(id, [detection(1)]));
    await refused.promise;
    expect(desk.fault()).toContain('away');
    await desk.idle();
    expect(desk.fault()).toBeUndefined();
    expect(acks.toSorted()).toEqual(['a spool 1', 'b spool 1']);
  });
});

describe('a monitor', () => {
  it('has one alert while it is ill, which closes by itself', async () => {
    await enrol(db.pool, 'a');
    const { desk } = start();
    desk.take(batchFrom('a', [stateChange(1, 'warning'), stateChange(2, 'critical')]));
    await desk.idle();
    expect(await allAlerts(db.pool)).toMatchObject([{ severity: 'critical', state: 'new', count: 1 }]);
    expect(await monitors()).toMatchObject([{ state: 3, ill: true }]);
    desk.take(batchFrom('a', [stateChange(3, 'healthy', { reason: 'used 10 %' })]));
    await desk.idle();
    expect(await allAlerts(db.pool)).toMatchObject([{ state: 'closed' }]);
    expect(await rows('select kind, comment from alert_changes order by id')).toEqual([
      { kind: 'raised', comment: '' },
      { kind: 'severity', comment: 'warning → critical' },
      { kind: 'closed', comment: 'it is healthy: used 10 %' },
    ]);
  });

  it('that is ill, well and ill again in one batch had two alerts', async () => {
    await enrol(db.pool, 'a');
    const { desk } = start();
    desk.take(batchFrom('a', [stateChange(1, 'critical')]));
    await desk.idle();
    desk.take(batchFrom('a', [stateChange(2, 'healthy'), stateChange(3, 'warning')]));
    await desk.idle();
    expect((await allAlerts(db.pool)).map(({ state, severity }) => [state, severity])).toEqual([
      ['closed', 'critical'],
      ['new', 'warning'],
    ]);
  });

  it('is forgotten when it is not monitored any more', async () => {
    await enrol(db.pool, 'a');
    const { desk } = start();
    desk.take(batchFrom('a', [stateChange(1, 'critical'), stateChange(2, 'healthy', { instance: '/home' })]));
    await desk.idle();
    desk.take(batchFrom('a', [stateChange(3, undefined)]));
    await desk.idle();
    expect(await monitors()).toMatchObject([{ instance: '/home' }]);
    expect(await allAlerts(db.pool)).toMatchObject([{ state: 'closed' }]);
  });

  it('with instances without end is bounded, and raises its alerts all the same', async () => {
    await enrol(db.pool, 'a');
    const { desk } = start();
    const states = Array.from({ length: 2_300 }, (_, i) =>
      stateChange(i + 1, i < 2_200 ? 'healthy' : 'warning', { instance: `i${i}` }),
    );
    for (let i = 0; i < 2_300; i += 1_000) desk.take(batchFrom('a', states.slice(i, i + 1_000)));
    await desk.idle();
    expect(await rows('select count(*) as n from monitor_states')).toEqual([{ n: 2_000 }]);
    expect(await allAlerts(db.pool)).toHaveLength(100);
  });
});
