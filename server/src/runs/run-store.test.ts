import { beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { type DispatchChange, type DispatchState, STATES, stateOf, takes } from './dispatch.ts';
import { createRunStore, type NewDispatch, type NewRun, type RunStore } from './run-store.ts';

const db = withTestDatabase();
let store: RunStore;
const at = new Date('2026-01-01T00:00:00Z');
const later = (ms: number) => new Date(at.getTime() + ms);

beforeEach(() => {
  store = createRunStore(db.pool);
});

async function enrol(id: string, epoch = 1): Promise<void> {
  await db.pool.query(`insert into agents (id, name, enrolled_with, epoch) values ($1, $1, 'test', $2)`, [id, epoch]);
}

const newRun = (over: Partial<NewRun> = {}): NewRun => ({
  id: newId(),
  task: 'p/t',
  targets: 'all',
  packDigest: Buffer.alloc(32),
  packName: 'p',
  packVersion: '1.0.0',
  taskName: 't',
  parametersJson: '{}',
  timeoutMs: 1_000,
  ttlMs: 60_000,
  offline: 'wait',
  requestedBy: 'ada',
  principalId: 'token-1',
  idempotencyKey: undefined,
  requestHash: Buffer.alloc(32),
  retryOf: undefined,
  createdAt: at,
  expiresAt: later(60_000),
  ...over,
});

const target = (agentId: string, state: NewDispatch['state'] = 'sent'): NewDispatch => ({
  agentId,
  agentName: agentId,
  state,
  reasonCode: '',
  reason: '',
});

async function submitted(targets: NewDispatch[], over: Partial<NewRun> = {}): Promise<string> {
  const run = newRun(over);
  expect(await store.insertRun(run, targets)).toBe(true);
  return run.id;
}

const change = (
  runId: string,
  agentId: string,
  state: DispatchState,
  more: Partial<DispatchChange> = {},
): DispatchChange => ({
  runId,
  agentId,
  epoch: 1,
  state,
  ...more,
});

const stateIn = async (runId: string, agentId: string) => (await store.dispatches(runId, [agentId]))[0]?.state;

describe('submitting a run', () => {
  it('stores the run, its dispatches and who asked, in one statement', async () => {
    const id = await submitted([target('a'), target('b', 'queued'), target('c', 'rejected')]);
    const run = await store.run(id);
    expect(run).toMatchObject({ requestedBy: 'ada', targetCount: 3, endedAt: undefined });
    expect(run?.counts).toEqual(
      new Map([
        ['sent', 1],
        ['queued', 1],
        ['rejected', 1],
      ]),
    );
    const { rows } = await db.pool.query('select principal, action, object from audit');
    expect(rows).toEqual([{ principal: 'ada', action: 'run.submit', object: id }]);
  });

  it('records of its parameters only their hash, which whoever knows them can check', async () => {
    await submitted([target('a')], { parametersJson: '{"path":"/"}' });
    const { rows } = await db.pool.query("select details ->> 'parametersSha256' as hash from audit");
    // printf '{"path":"/"}' | sha256sum
    expect(rows).toEqual([{ hash: 'fdf6f57e150ea5cc949277a40f1c2b8fb53f108bd4c6af4b4f65f566507e6351' }]);
  });

  it('whose targets come from memory is stored only if each is an agent that holds, by id and name, and has what the task requires', async () => {
    await enrol('a');
    await enrol('b');
    await db.pool.query(
      `update agents set labels = '{"os":"bsd","gpu":""}', facts = '{"os":"linux","arch":"x64"}' where id = 'a'`,
    );
    const stored = (agentIds: string[], requires = {}) =>
      store.insertRun(
        newRun(),
        agentIds.map((id) => target(id)),
        { requires },
      );
    expect(await stored(['a', 'b'])).toBe(true);
    // Labels go before facts, as in a selector.
    expect(await stored(['a'], { os: 'bsd', gpu: '*', arch: 'x64', name: 'a' })).toBe(true);
    expect(await stored(['a'], { os: 'linux' })).toBe(false);
    expect(await stored(['a', 'b'], { arch: '*' })).toBe(false);
    expect(await stored(['a', 'nobody'])).toBe(false);
    await db.pool.query(`update agents set revoked_at = now() where id = 'b'`);
    expect(await stored(['a', 'b'])).toBe(false);
    expect((await db.pool.query('select 1 from runs')).rowCount).toBe(2);
    expect((await db.pool.query('select 1 from audit')).rowCount).toBe(2);
  });

  it('with a key that was used stores nothing at all', async () => {
    const first = await submitted([target('a')], { idempotencyKey: 'k' });
    expect(await store.insertRun(newRun({ idempotencyKey: 'k' }), [target('a')])).toBe(false);
    expect((await store.findByKey('token-1', 'k'))?.run.id).toBe(first);
    expect((await db.pool.query('select 1 from dispatches')).rowCount).toBe(1);
    expect((await db.pool.query('select 1 from audit')).rowCount).toBe(1);
  });
});

describe('what agents report', () => {
  it('is taken exactly when the state machine takes it, from every state to every state', async () => {
    const states = Object.keys(STATES) as DispatchState[];
    const pairs = states.flatMap((from) => states.map((to) => ({ from, to })));
    await Promise.all(pairs.map((_, i) => enrol(`a${i}`)));
    const id = await submitted(pairs.map((_, i) => target(`a${i}`)));
    for (const [i, { from }] of pairs.entries()) {
      await db.pool.query('update dispatches set state = $2 where agent_id = $1', [`a${i}`, STATES[from]]);
    }
    await store.apply(pairs.map(({ to }, i) => change(id, `a${i}`, to)));
    const after = new Map((await store.dispatches(id)).map((d) => [d.agentId, d.state]));
    for (const [i, { from, to }] of pairs.entries()) {
      expect(`${from} → ${to}: ${after.get(`a${i}`)}`).toBe(`${from} → ${to}: ${takes(from, to) ? to : from}`);
    }
  });
  it('from an older epoch is neither taken nor acknowledged', async () => {
    await enrol('a', 5);
    const id = await submitted([target('a')]);
    expect(await store.apply([change(id, 'a', 'succeeded', { epoch: 4 })])).toEqual([]);
    expect(await stateIn(id, 'a')).toBe('sent');
    expect(await store.apply([change(id, 'a', 'succeeded', { epoch: 5 })])).toHaveLength(1);
  });
  it('twice, or of a run that is gone, is acknowledged and changes nothing', async () => {
    await enrol('a');
    const id = await submitted([target('a')]);
    const result = change(id, 'a', 'failed', { exitCode: 3, endedAt: later(5), view: 'host-read' });
    expect(await store.apply([result])).toEqual([{ change: result, taken: true }]);
    const before = await store.dispatches(id);
    expect(before[0]).toMatchObject({ exitCode: 3, view: 'host-read' });
    const gone = newId();
    const acknowledged = await store.apply([{ ...result, exitCode: 4 }, change(gone, 'a', 'succeeded')]);
    expect(acknowledged.map(({ change }) => change.runId).sort()).toEqual([id, gone].sort());
    expect(acknowledged.some(({ taken }) => taken)).toBe(false);
    expect(await store.dispatches(id)).toEqual(before);
  });
  it('of what it put in itself is kept as it was said first, with the start or else with the end', async () => {
    await Promise.all([enrol('a'), enrol('b'), enrol('c')]);
    const id = await submitted([target('a'), target('b'), target('c')]);
    const nasty = { path: `/a "b" \\ {c}, 'd'` };
    await store.apply([change(id, 'a', 'running', { parametersFrom: nasty }), change(id, 'c', 'running')]);
    await store.apply([
      change(id, 'a', 'failed', { parametersFrom: { path: '/other' } }),
      change(id, 'b', 'failed', { parametersFrom: { path: '/b' } }),
    ]);
    const kept = (await store.dispatches(id)).map(({ state, parametersFrom }) => [state, parametersFrom]);
    expect(kept).toEqual([
      ['failed', nasty],
      ['failed', { path: '/b' }],
      ['running', undefined],
    ]);
  });
});

describe('an agent that comes back', () => {
  it('has what was sent to it and has not ended; that more is queued for it is said, and changes nothing', async () => {
    const sent = await submitted([target('a'), target('b')], { parametersJson: '{"a":1}' });
    const queued = await submitted([target('a', 'queued')]);
    await store.apply([change(await submitted([target('a')]), 'a', 'succeeded', { epoch: 0 })]);
    expect(await store.openAt(['a', 'c'], at)).toEqual({
      open: [{ runId: sent, agentId: 'a', state: 'sent', parameterBytes: 7, runCancelled: false, expired: false }],
      waiting: ['a'],
    });
    expect(await stateIn(queued, 'a')).toBe('queued');
  });
});

describe('what is queued', () => {
  const MIB = 1024 * 1024;
  const room = (agentId: string, places: number, bytes = 8 * MIB) => ({ agentId, places, bytes });
  const queuedRuns = async (count: number, agents: string[], over: Partial<NewRun> = {}) => {
    const ids: string[] = [];
    for (let i = 0; i < count; i++)
      ids.push(
        await submitted(
          agents.map((id) => target(id, 'queued')),
          over,
        ),
      );
    return ids;
  };
  const taken = async (...rooms: ReturnType<typeof room>[]) => {
    const rows = await store.takeQueued(rooms, later(10));
    return rooms.map(({ agentId }) => rows.filter((row) => row.agentId === agentId).map((row) => row.runId));
  };

  it('is taken as far as each agent has room, the oldest first, and is marked sent before anybody hands it over', async () => {
    const ids = await queuedRuns(4, ['a', 'b', 'c']);
    expect(await taken(room('a', 2), room('b', 9))).toEqual([ids.slice(0, 2), ids]);
    const states = async (agentId: string) => Promise.all(ids.map((id) => stateIn(id, agentId)));
    expect(await states('a')).toEqual(['sent', 'sent', 'queued', 'queued']);
    expect(await states('c')).toEqual(['queued', 'queued', 'queued', 'queued']);
    expect(await taken(room('a', 9), room('b', 9))).toEqual([ids.slice(2), []]);
  });
  it('is taken by one who asks, however many ask at once', async () => {
    const ids = await queuedRuns(20, ['a']);
    const all = (await Promise.all(Array.from({ length: 8 }, () => taken(room('a', 5))))).flat(2);
    expect(all.sort()).toEqual([...new Set(all)]);
    expect(ids).toEqual(expect.arrayContaining(all));
  });
  it('takes no more parameters along than there is room for', async () => {
    const parametersJson = JSON.stringify({ text: 'x'.repeat(MIB) });
    const ids = await queuedRuns(4, ['a'], { parametersJson });
    expect(await taken(room('a', 9, 2.5 * MIB))).toEqual([ids.slice(0, 2)]);
    expect(await store.orders(ids.slice(0, 1))).toMatchObject([{ runId: ids[0], parametersJson }]);
  });
  it('stays there when its time to live is over or its run was cancelled', async () => {
    const late = await submitted([target('a', 'queued')], { expiresAt: later(10) });
    const cancelled = await submitted([target('a', 'queued')]);
    expect(await store.cancel(cancelled, 'ada', at)).toEqual(['a']);
    const half = await submitted([target('a', 'queued')]);
    await db.pool.query('update runs set cancelled_at = $2 where id = $1', [half, at]);
    expect(await taken(room('a', 9))).toEqual([[]]);
    expect(await stateIn(late, 'a')).toBe('queued');
    expect(await stateIn(cancelled, 'a')).toBe('cancelled');
  });
});

describe('a run that is cancelled', () => {
  it('ends where it was queued, and remembers who asked first', async () => {
    const id = await submitted([target('a', 'queued'), target('b')]);
    expect(await store.cancel(id, 'ada', later(1))).toEqual(['a']);
    expect(await store.cancel(id, 'bob', later(2))).toEqual([]);
    expect(await store.run(id)).toMatchObject({ cancelledBy: 'ada' });
    expect(await store.openTargets(id)).toEqual(['b']);
  });
});

describe('a sweep', () => {
  const limits = { sentGraceMs: 30_000, lostAfterMs: 600_000 };
  const sweep = (ms: number) => store.sweep({ now: later(ms), ...limits });
  it('expires what is queued at the end of its time to live, not before', async () => {
    const id = await submitted([target('a', 'queued')]);
    expect(await sweep(59_999)).toEqual([]);
    expect(await sweep(60_000)).toEqual([{ runId: id, agentId: 'a', state: STATES.expired }]);
  });
  it('calls lost what was handed over and never answered, after a grace', async () => {
    const id = await submitted([target('a')]);
    expect(await sweep(89_999)).toEqual([]);
    await sweep(90_000);
    expect(await store.dispatches(id)).toMatchObject([{ state: 'lost', reasonCode: 'AGENT_UNREACHABLE' }]);
  });
  it('calls lost what runs without an end long past its deadline', async () => {
    await enrol('a');
    const id = await submitted([target('a')]);
    await store.apply([change(id, 'a', 'running', { startedAt: later(50_000) })]);
    expect(await sweep(60_000 + 1_000 + 599_999)).toEqual([]);
    expect(await sweep(60_000 + 1_000 + 600_000)).toMatchObject([{ state: STATES.lost }]);
  });

  it('ends what expired in pieces, each of which one statement can end in its time', async () => {
    const id = await submitted(Array.from({ length: 20_001 }, (_, i) => target(`a-${i}`, 'queued')));
    expect(await sweep(60_000)).toHaveLength(20_000);
    expect(await sweep(60_000)).toHaveLength(1);
    expect(await sweep(60_000)).toEqual([]);
    expect((await store.run(id))?.counts).toEqual(new Map([['expired', 20_001]]));
  });

  it('leaves to an agent what it says while the sweep is under way', async () => {
    await enrol('a');
    const id = await submitted([target('a', 'queued'), target('b', 'queued')]);
    const client = await db.pool.connect();
    try {
      await client.query('begin');
      await client.query(`update dispatches set state = ${STATES.sent} where agent_id = 'a'`);
      const swept = sweep(60_000);
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      await expect.poll(async () => (await db.pool.query(waiting)).rowCount).toBe(1);
      await client.query('commit');
      expect(await swept).toEqual([{ runId: id, agentId: 'b', state: STATES.expired }]);
      expect(await stateIn(id, 'a')).toBe('sent');
    } finally {
      client.release(true);
    }
  });

  it('believes no clock of an agent: one that is years ahead keeps nothing open', async () => {
    await enrol('a');
    const id = await submitted([target('a')]);
    await store.apply([change(id, 'a', 'running', { startedAt: new Date('2030-01-01T00:00:00Z') })]);
    await sweep(60_000 + 1_000 + 600_000);
    expect(await stateIn(id, 'a')).toBe('lost');
  });
});

describe('what is handed over again', () => {
  it('is that of connected agents: the many that wait for others stand in nobody’s way', async () => {
    await enrol('here');
    await db.pool.query(`update agents set online = true where id = 'here'`);
    await submitted(Array.from({ length: 5_000 }, (_, i) => target(`away-${i}`, 'queued')));
    const id = await submitted([target('here')]);
    expect(await store.unaccepted(later(1), later(1))).toEqual({
      unanswered: [{ runId: id, agentId: 'here', parameterBytes: 2 }],
      waiting: [],
    });
  });
  it('is what was sent; of what is queued only for whom it is', async () => {
    await enrol('here');
    await db.pool.query(`update agents set online = true where id = 'here'`);
    for (let i = 0; i < 3; i++) await submitted([target('here', 'queued')]);
    expect(await store.unaccepted(later(1), later(1))).toEqual({ unanswered: [], waiting: ['here'] });
    expect(await store.unaccepted(at, later(1))).toEqual({ unanswered: [], waiting: [] });
  });
});

describe('a run', () => {
  it('ends when its last dispatch has ended, with its counts', async () => {
    await enrol('a');
    await enrol('b');
    const id = await submitted([target('a'), target('b')]);
    await store.apply([change(id, 'a', 'succeeded')]);
    expect(await store.closeRuns([id], later(1))).toEqual([]);
    await store.apply([change(id, 'b', 'lost')]);
    expect(await store.closeRuns([id], later(2))).toEqual([id]);
    expect(await store.run(id)).toMatchObject({
      endedAt: later(2),
      counts: new Map([
        ['succeeded', 1],
        ['lost', 1],
      ]),
    });
  });
  it('that nobody ended is found when nothing of it is open any more', async () => {
    const rejected = await submitted([target('a', 'rejected'), target('b', 'rejected')]);
    await submitted([target('a', 'rejected'), target('b')]);
    expect(await store.unended()).toEqual([rejected]);
    await store.closeRuns([rejected], at);
    expect(await store.unended()).toEqual([]);
  });
  it('keeps its end and gets new counts when a lost target turns out to have succeeded', async () => {
    await enrol('a');
    const id = await submitted([target('a')]);
    await store.apply([change(id, 'a', 'lost', { epoch: 0 })]);
    await store.closeRuns([id], later(2));
    await store.apply([change(id, 'a', 'succeeded')]);
    await store.closeRuns([id], later(9));
    expect(await store.run(id)).toMatchObject({ endedAt: later(2), counts: new Map([['succeeded', 1]]) });
  });
  it('is listed newest first, page by page', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift(await submitted([target('a')], { createdAt: later(i) }));
    const query = { limit: 3, openOnly: false, task: '' };
    const first = await store.list({ ...query, before: undefined });
    expect(first.map((r) => r.id)).toEqual(ids.slice(0, 3));
    const last = first.at(-1);
    if (last === undefined) throw new Error('no page');
    expect((await store.list({ ...query, before: last })).map((r) => r.id)).toEqual(ids.slice(3));
  });
  it('is groomed with all that belongs to it', async () => {
    const id = await submitted([target('a', 'rejected')]);
    await store.closeRuns([id], later(0));
    await store.storeOutput([{ runId: id, agentId: 'a', offset: 0, stream: 1, data: Buffer.from('x') }]);
    expect(await store.groom(later(0))).toBe(0);
    expect(await store.groom(later(1))).toBe(1);
    for (const table of ['runs', 'dispatches', 'output_chunks']) {
      expect((await db.pool.query(`select 1 from ${table}`)).rowCount).toBe(0);
    }
  });
  it('with much output is groomed in pieces, and is there until the last of them', async () => {
    const id = await submitted([target('a', 'rejected')]);
    await store.closeRuns([id], later(0));
    await db.pool.query(
      `insert into output_chunks (run_id, agent_id, byte_offset, stream, data) select $1, 'a', i, 1, 'x' from generate_series(0, 4000) i`,
      [id],
    );
    const left = async () => (await db.pool.query('select 1 from output_chunks')).rowCount;
    expect(await store.groom(later(1))).toBe(4_000);
    expect([await left(), (await store.run(id))?.id]).toEqual([1, id]);
    expect(await store.groom(later(1))).toBe(1);
    expect([await left(), await store.run(id)]).toEqual([0, undefined]);
  });
  it('is groomed with others only as long as they are small together: one statement must end in its time', async () => {
    for (let i = 0; i < 5; i++) await store.closeRuns([await submitted([target('a', 'rejected')])], later(i));
    await db.pool.query('update runs set target_count = 50000 where ended_at <= $1', [later(1)]);
    expect(await store.groom(later(10))).toBe(1);
    expect(await store.groom(later(10))).toBe(1);
    expect(await store.groom(later(10))).toBe(3);
  });
});

describe('output', () => {
  it('is stored once however often it comes, and read from any offset', async () => {
    const id = await submitted([target('a')]);
    const chunk = (offset: number, text: string) => ({
      runId: id,
      agentId: 'a',
      offset,
      stream: 1 as const,
      data: Buffer.from(text),
    });
    await store.storeOutput([chunk(0, 'abc'), chunk(3, 'def')]);
    await store.storeOutput([chunk(3, 'def'), chunk(6, 'g')]);
    expect((await store.dispatches(id))[0]?.outputStoredBytes).toBe(7);
    const read = await store.readOutput(id, 'a', 4, 10);
    expect(read.map((c) => [c.offset, c.data.toString()])).toEqual([
      [3, 'def'],
      [6, 'g'],
    ]);
  });
  it('of a dispatch that does not exist is dropped without an error', async () => {
    await store.storeOutput([{ runId: newId(), agentId: 'a', offset: 0, stream: 1, data: Buffer.from('x') }]);
    expect((await db.pool.query('select 1 from output_chunks')).rowCount).toBe(0);
  });
});

describe('numbers of states', () => {
  it('are those that the statements are written with', () => {
    expect([10, 11, 12, 13, 14, 15, 16].map(stateOf)).toEqual([
      'succeeded',
      'failed',
      'timed_out',
      'cancelled',
      'expired',
      'rejected',
      'lost',
    ]);
  });
});
