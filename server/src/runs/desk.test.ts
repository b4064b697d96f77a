import { beforeEach, expect, it } from 'vitest';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createDispatchDesk, type DispatchDesk } from './desk.ts';
import { STATES } from './dispatch.ts';
import { createRunHub } from './hub.ts';
import { createRunStore, type NewRun, type RunStore } from './run-store.ts';

const db = withTestDatabase();
const at = new Date('2026-01-01T00:00:00Z');
let store: RunStore;
let desk: DispatchDesk;
let refusals: number;
/** Runs whose open dispatches were counted. */
let asked: string[];
let applied: number;
let whileCounting: () => Promise<void>;
let freed: string[];

beforeEach(() => {
  store = createRunStore(db.pool);
  refusals = 0;
  asked = [];
  applied = 0;
  whileCounting = async () => {};
  freed = [];
  desk = createDispatchDesk({
    store: {
      ...store,
      closeRuns(runIds, now) {
        if (refusals-- > 0) throw new Error('the database is away');
        return store.closeRuns(runIds, now);
      },
      async apply(changes) {
        const rows = await store.apply(changes);
        applied += changes.length;
        return rows;
      },
      async openCounts(runIds) {
        asked.push(...runIds);
        const counts = await store.openCounts(runIds);
        await whileCounting();
        return counts;
      },
    },
    hub: createRunHub(),
    clock: { now: () => at, nowMs: () => 0, sleep: () => new Promise((resolve) => setTimeout(resolve, 1)) },
    resultsDurable() {},
    outputDurable() {},
    onFault() {},
    ended: (runId, agentId) => void freed.push(`${runId} ${agentId}`),
  });
});

const newRun = (): NewRun => ({
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
  expiresAt: at,
});

/** @returns the id of a run that was sent to agents a0, a1, … */
async function sentTo(count: number): Promise<string> {
  const run = newRun();
  const agents = Array.from({ length: count }, (_, i) => `a${i}`);
  await db.pool.query(
    `insert into agents (id, name, enrolled_with, epoch) select id, id, 'test', 1 from unnest($1::text[]) id on conflict do nothing`,
    [agents],
  );
  await store.insertRun(
    run,
    agents.map((agentId) => ({ agentId, agentName: agentId, state: 'sent', reasonCode: '', reason: '' })),
  );
  return run.id;
}

const succeeded = (runId: string, i: number) =>
  desk.change({ runId, agentId: `a${i}`, epoch: 1, state: 'succeeded', endedAt: at });

it('a run whose end the database refused ends when the database is back, and nothing is wrong any more', async () => {
  const id = await sentTo(1);
  desk.opened(id, 1);
  refusals = 3;
  succeeded(id, 0);
  await desk.idle();
  expect((await store.run(id))?.endedAt).toEqual(at);
  expect(desk.fault()).toBeUndefined();
});

it('an end makes room at its agent once, however often the agent says it, and whoever ended it', async () => {
  const id = await sentTo(2);
  for (let i = 0; i < 3; i++) {
    succeeded(id, 0);
    await desk.idle();
  }
  desk.changedInStore([{ runId: id, agentId: 'a1', state: STATES.lost }]);
  await desk.idle();
  expect(freed).toEqual([`${id} a0`, `${id} a1`]);
});

it('a run of an earlier process is counted with its first end, and ends with its last: nothing is read at the start', async () => {
  const id = await sentTo(30);
  for (let i = 0; i < 29; i++) {
    succeeded(id, i);
    await desk.idle();
  }
  expect((await store.run(id))?.endedAt).toBeUndefined();
  // Once when the first was told, and not again.
  expect(asked).toEqual([id]);
  succeeded(id, 29);
  await desk.idle();
  expect((await store.run(id))?.endedAt).toEqual(at);
});

it('what ends while its run is being counted is not counted as open', async () => {
  const id = await sentTo(4);
  whileCounting = async () => {
    whileCounting = async () => {};
    succeeded(id, 1);
    succeeded(id, 2);
    do await new Promise((resolve) => setTimeout(resolve, 5));
    while (applied < 3);
  };
  succeeded(id, 0);
  await desk.idle();
  succeeded(id, 3);
  await desk.idle();
  expect((await store.run(id))?.endedAt).toEqual(at);
});

it('a run that had ended when its server died before it could write that ends with the next sweep', async () => {
  const id = await sentTo(2);
  await store.apply([0, 1].map((i) => ({ runId: id, agentId: `a${i}`, epoch: 1, state: 'succeeded', endedAt: at })));
  const open = await sentTo(2);
  await desk.endRuns();
  await desk.idle();
  expect((await store.run(id))?.endedAt).toEqual(at);
  expect((await store.run(open))?.endedAt).toBeUndefined();
});

it('while the database is away, progress is not gathered without bound, nor what one agent reports; the results of all are', async () => {
  let away = true;
  let applied = 0;
  const runs = {
    ...store,
    apply: async (changes: readonly unknown[]) => {
      if (away) throw new Error('the database is away');
      applied += changes.length;
      return [];
    },
  };
  const pendings: number[] = [];
  const filling = createDispatchDesk({
    store: runs,
    hub: createRunHub(),
    clock: { now: () => at, nowMs: () => 0, sleep: () => new Promise((resolve) => setTimeout(resolve, 1)) },
    resultsDurable() {},
    outputDurable() {},
    onFault: (_what, _error, pending) => void pendings.push(pending),
  });
  const change = { agentId: 'a', epoch: 1 } as const;
  for (let i = 0; i < 50_000; i++) filling.change({ ...change, runId: `${i}`, state: 'running', progressNote: 'x' });
  const result = (agentId: string, runId: number) =>
    filling.change({ agentId, epoch: 1, runId: `${runId}`, state: 'succeeded' });
  for (let i = 0; i < 20_000; i++) expect(result(`b${i % 4}`, i)).toBe(true);
  for (let i = 0; i < 15_000; i++) expect(result('flood', i)).toBe(i < 10_000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  away = false;
  await filling.idle();
  expect(Math.max(...pendings)).toBeLessThanOrEqual(40_000);
  expect(applied).toBeGreaterThanOrEqual(30_000);
  expect(result('flood', 0)).toBe(true);
  await filling.idle();
});
