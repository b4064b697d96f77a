import { createHash } from 'node:crypto';
import { compileParameters } from '@openline/packs';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createRunService, type RunServiceDeps } from './create-run-service.ts';
import { createDispatchDesk } from './desk.ts';
import type { Place } from './dispatch.ts';
import { createRunHub } from './hub.ts';
import type { RunService } from './run-service.ts';
import { createRunStore, type RunStore } from './run-store.ts';

const db = withTestDatabase();
const ada = { id: 'token-1', name: 'ada', role: 'operator' } as const;
const parametersSchema = { properties: { path: { type: 'string' }, count: { type: 'integer', default: 3 } } };
const spec = { task: 'p/t', targets: 'all', parameters: {}, timeoutMs: undefined, ttlMs: undefined };

let store: RunStore;
let places: Record<string, Place>;
/** "run agent" of the places that are taken. */
let taken: Set<string>;
let sent: string[];
let waiting: string[];
let labels: Record<string, Record<string, string>>;
let inMaintenance: 'run' | 'refuse';
let lookedUp: number;
let outdated: string | undefined;

beforeEach(() => {
  lookedUp = 0;
  outdated = undefined;
  store = createRunStore(db.pool);
  places = { a: 'offline', b: 'offline' };
  taken = new Set();
  sent = [];
  waiting = [];
  labels = {};
  inMaintenance = 'run';
});

function service(changes: Partial<RunStore> = {}): RunService {
  const lines: RunServiceDeps['lines'] = {
    isConnected: (agentId) => places[agentId] !== 'offline',
    connectedAs: (agentName) => (places[agentName] === 'offline' ? undefined : agentName),
    reserve(runId, agentId) {
      const place = places[agentId] ?? 'offline';
      if (place === 'taken') taken.add(`${runId} ${agentId}`);
      return place;
    },
    release(runId, agentIds) {
      for (const agentId of agentIds) taken.delete(`${runId} ${agentId}`);
    },
    fillsIn: (agentId) => agentId !== outdated,
    sendTask: (_run, agentIds) => void sent.push(...agentIds),
    waiting: (agentIds) => void waiting.push(...agentIds),
    sendControl() {},
  };
  const candidate = (id: string) => ({ id, name: id, values: [] });
  const resolved = {
    stored: { digest: Buffer.alloc(32), pack: { name: 'p', version: '1.0.0' } },
    task: { name: 't', timeoutMs: 1_000, requires: {}, maintenance: inMaintenance, parametersSchema },
    validate: compileParameters({ parametersSchema }),
  };
  const hub = createRunHub();
  const runs = { ...store, ...changes };
  const desk = createDispatchDesk({
    store: runs,
    hub,
    clock: systemClock,
    resultsDurable() {},
    outputDurable() {},
    onFault() {},
  });
  return createRunService(
    {
      store: runs,
      desk,
      hub,
      lines,
      agents: {
        async candidates() {
          lookedUp++;
          return [candidate('a'), candidate('b')];
        },
        select: async () => ['a', 'b'].map((id) => ({ id, name: id, labels: labels[id] ?? {}, facts: {} })),
        packsOf: async () => new Map(),
      } as unknown as RunServiceDeps['agents'],
      packs: { resolve: () => resolved } as unknown as RunServiceDeps['packs'],
      audit: { record: async () => {} } as unknown as RunServiceDeps['audit'],
      clock: systemClock,
      newId,
      maintenanceOf: async (agentIds) => new Map(agentIds.includes('b') ? [['b', 'm1']] : []),
    },
    { defaultTtlMs: 60_000 },
  );
}

describe('a run', () => {
  it('goes at once to those that have room; for the others it is queued, and the lines are told', async () => {
    places = { a: 'taken', b: 'full' };
    const { run } = await service().submit(ada, { ...spec, offline: 'fail' });
    expect((await store.dispatches(run.id)).map(({ state }) => state)).toEqual(['sent', 'queued']);
    expect([sent, waiting]).toEqual([['a'], ['b']]);
  });

  it('that could not be stored takes no place', async () => {
    places = { a: 'taken', b: 'taken' };
    const runs = service({
      insertRun: async () => {
        throw new Error('the database is away');
      },
    });
    await expect(runs.submit(ada, { ...spec, offline: 'wait' })).rejects.toThrow('away');
    expect([...taken]).toEqual([]);
    expect(sent).toEqual([]);
  });

  it('that is asked for twice at once with one key takes one place at each target', async () => {
    places = { a: 'taken', b: 'taken' };
    const runs = service();
    const submit = () => runs.submit(ada, { ...spec, offline: 'wait' }, { idempotencyKey: 'key' });
    const [first] = await Promise.all([submit(), submit()]);
    expect([...taken].sort()).toEqual([`${first.run.id} a`, `${first.run.id} b`]);
    expect(sent).toEqual(['a', 'b']);
  });
});

describe('a run on agents that are named and connected', () => {
  const enrol = (id: string) =>
    db.pool.query(`insert into agents (id, name, enrolled_with) values ($1, $1, 'test')`, [id]);

  it('is stored without a look at the agents before, since the store confirms them as it is stored', async () => {
    await enrol('a');
    places = { a: 'taken', b: 'taken' };
    const { run } = await service().submit(ada, { ...spec, targets: 'name=a', offline: 'fail' });
    expect(await store.dispatches(run.id)).toMatchObject([{ agentId: 'a', agentName: 'a', state: 'sent' }]);
    expect([sent, lookedUp]).toEqual([['a'], 0]);
  });

  it('is looked up when one of them is away, or no longer what it was when it said Hello', async () => {
    await enrol('a');
    await enrol('b');
    places = { a: 'taken', b: 'offline' };
    const submit = () => service().submit(ada, { ...spec, targets: 'name in (a,b)', offline: 'wait' });
    await submit();
    expect(lookedUp).toBe(1);
    places = { a: 'taken', b: 'taken' };
    await db.pool.query(`update agents set revoked_at = now() where id = 'b'`);
    const { run } = await submit();
    expect(lookedUp).toBe(2);
    // What was reserved for the first try was given back.
    expect([...taken].filter((place) => !place.startsWith(run.id))).toEqual([expect.stringMatching(/ a$/)]);
  });

  it('that is asked for again with its key is the same run', async () => {
    await enrol('a');
    places = { a: 'taken', b: 'offline' };
    const submit = () =>
      service().submit(ada, { ...spec, targets: 'name=a', offline: 'fail' }, { idempotencyKey: 'key' });
    const first = await submit();
    expect(await submit()).toMatchObject({ existing: true, run: { id: first.run.id } });
    expect(sent).toEqual(['a']);
  });
});

describe('a task', () => {
  it('that refuses maintenance is rejected by agents that are in it, before anything reaches them; others run it', async () => {
    places = { a: 'taken', b: 'taken' };
    inMaintenance = 'refuse';
    const { run } = await service().submit(ada, { ...spec, offline: 'fail' });
    expect(await store.dispatches(run.id)).toMatchObject([
      { agentId: 'a', state: 'sent' },
      { agentId: 'b', state: 'rejected', reasonCode: 'AGENT_IN_MAINTENANCE', reason: expect.stringContaining('m1') },
    ]);
    expect(sent).toEqual(['a']);
  });
  it('that says nothing of maintenance runs in it', async () => {
    places = { a: 'taken', b: 'taken' };
    const { run } = await service().submit(ada, { ...spec, offline: 'fail' });
    expect((await store.dispatches(run.id)).map(({ state }) => state)).toEqual(['sent', 'sent']);
  });
});

describe('parameters that are of the target', () => {
  const given = { ...spec, offline: 'wait', parametersFrom: { path: 'label:data-dir' } } as const;

  it('are kept with the run, sent with the task, named in the audit log and asked for anew by a retry', async () => {
    places = { a: 'taken', b: 'taken' };
    const { run } = await service().submit(ada, given);
    expect(await store.run(run.id)).toMatchObject({
      spec: { parametersFrom: given.parametersFrom },
      parametersJson: '{"count":3}',
    });
    expect(await store.orders([run.id])).toMatchObject([{ parametersFrom: given.parametersFrom }]);
    const { rows } = await db.pool.query(`select details -> 'parametersFrom' as named from audit`);
    expect(rows).toEqual([{ named: given.parametersFrom }]);
    await store.apply([{ runId: run.id, agentId: 'a', epoch: 0, state: 'failed', endedAt: new Date() }]);
    const { run: again } = await service().retry(ada, run.id);
    expect(await store.run(again.id)).toMatchObject({ spec: { parametersFrom: given.parametersFrom } });
  });

  it('are part of what an idempotency key stands for; a run without is what it was before there were any', async () => {
    const submit = (parametersFrom: Record<string, string> | undefined, idempotencyKey: string) =>
      service().submit(ada, { ...given, parametersFrom }, { idempotencyKey });
    await submit(given.parametersFrom, 'k');
    expect(await submit({ path: 'label:data-dir' }, 'k')).toMatchObject({ existing: true });
    await expect(submit({ path: 'name' }, 'k')).rejects.toThrow('asks for something else');
    await expect(submit(undefined, 'k')).rejects.toThrow('asks for something else');
    const { run } = await submit(undefined, 'plain');
    const { rows } = await db.pool.query('select request_hash, parameters_from from runs where id = $1', [run.id]);
    const before = JSON.stringify(['p/t', 'all', '{"count":3}', 1_000, 60_000, 'wait', null]);
    expect(rows).toEqual([{ request_hash: createHash('sha256').update(before).digest(), parameters_from: null }]);
  });

  it('have names of the task, and no value besides', async () => {
    const submit = (more: object) => service().submit(ada, { ...given, ...more });
    await expect(submit({ parametersFrom: { pth: 'name' } })).rejects.toThrow("there is no parameter 'pth'");
    await expect(submit({ parameters: { path: '/' } })).rejects.toThrow("parameter 'path' is given twice");
  });

  it('are shown by a preview as far as they are known, with who would reject them', async () => {
    places = { a: 'taken', b: 'taken' };
    labels = { a: { size: '7' }, b: { size: 'big' } };
    const preview = async (parametersFrom: Record<string, string>) =>
      (await service().preview({ ...given, parametersFrom })).targets.map(({ parametersFrom, wouldReject }) => [
        parametersFrom,
        wouldReject?.code,
      ]);
    expect(await preview({ count: 'label:size' })).toEqual([
      [{ count: '7' }, undefined],
      [{ count: 'big' }, 'PARAMETERS_INVALID'],
    ]);
    expect(await preview({ path: 'label:data-dir' })).toEqual([
      [{}, 'REQUIREMENTS_NOT_MET'],
      [{}, 'REQUIREMENTS_NOT_MET'],
    ]);
    outdated = 'a';
    expect(await preview({ path: 'name' })).toEqual([
      [{ path: 'a' }, 'AGENT_OUTDATED'],
      [{ path: 'b' }, undefined],
    ]);
  });
});

describe('a retry', () => {
  it('that is asked for twice with one key is one run, also when another target failed in between', async () => {
    const runs = service();
    const { run } = await runs.submit(ada, { ...spec, offline: 'wait' });
    await store.apply([{ runId: run.id, agentId: 'a', epoch: 0, state: 'failed', endedAt: new Date() }]);
    const first = await runs.retry(ada, run.id, 'key');
    await store.apply([{ runId: run.id, agentId: 'b', epoch: 0, state: 'failed', endedAt: new Date() }]);
    const second = await runs.retry(ada, run.id, 'key');
    expect(second).toMatchObject({ existing: true, run: { id: first.run.id } });
  });
});
