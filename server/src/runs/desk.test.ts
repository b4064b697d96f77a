import { beforeEach, expect, it } from 'vitest';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createDispatchDesk, type DispatchDesk } from './desk.ts';
import { createRunHub } from './hub.ts';
import { createRunStore, type RunStore } from './run-store.ts';

const db = withTestDatabase();
const at = new Date('2026-01-01T00:00:00Z');
let store: RunStore;
let desk: DispatchDesk;
let refusals: number;

beforeEach(() => {
  store = createRunStore(db.pool);
  refusals = 0;
  desk = createDispatchDesk({
    store: {
      ...store,
      closeRuns(runIds, now) {
        if (refusals-- > 0) throw new Error('the database is away');
        return store.closeRuns(runIds, now);
      },
    },
    hub: createRunHub(),
    clock: { now: () => at, nowMs: () => 0, sleep: () => new Promise((resolve) => setTimeout(resolve, 1)) },
    resultsDurable() {},
    outputDurable() {},
    onFault() {},
  });
});

it('a run whose end the database refused ends when the database is back, and nothing is wrong any more', async () => {
  await db.pool.query(`insert into agents (id, name, enrolled_with, epoch) values ('a', 'a', 'test', 1)`);
  const id = newId();
  await store.insertRun(
    {
      id,
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
    },
    [{ agentId: 'a', agentName: 'a', state: 'sent', reasonCode: '', reason: '' }],
  );
  desk.opened(id, 1);
  refusals = 3;
  desk.change({ runId: id, agentId: 'a', epoch: 1, state: 'succeeded', endedAt: at });
  await desk.idle();
  expect((await store.run(id))?.endedAt).toEqual(at);
  expect(desk.fault()).toBeUndefined();
});

it('while the database is away, progress is not gathered without bound; results are', async () => {
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
  for (let i = 0; i < 20_000; i++) filling.change({ ...change, runId: `${i}`, state: 'succeeded' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  away = false;
  await filling.idle();
  expect(Math.max(...pendings)).toBeLessThanOrEqual(30_000);
  expect(applied).toBeGreaterThanOrEqual(20_000);
});
