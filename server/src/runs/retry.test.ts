import { expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createRunService, type RunServiceDeps } from './create-run-service.ts';
import { createDispatchDesk } from './desk.ts';
import { createRunHub } from './hub.ts';
import { createRunStore } from './run-store.ts';

const db = withTestDatabase();

it('a retry that is asked for twice with one key is one run, also when another target failed in between', async () => {
  const store = createRunStore(db.pool);
  const hub = createRunHub();
  const lines: RunServiceDeps['lines'] = { isConnected: () => false, sendTask() {}, sendControl() {} };
  const candidate = (id: string) => ({ id, name: id, values: [] });
  const resolved = {
    stored: { digest: Buffer.alloc(32), pack: { name: 'p', version: '1.0.0' } },
    task: { name: 't', timeoutMs: 1_000, requires: {} },
    validate: () => ({}),
  };
  const desk = createDispatchDesk({
    store,
    hub,
    clock: systemClock,
    resultsDurable() {},
    outputDurable() {},
    onFault() {},
  });
  const runs = createRunService(
    {
      store,
      desk,
      hub,
      lines,
      agents: { candidates: async () => [candidate('a'), candidate('b')] } as unknown as RunServiceDeps['agents'],
      packs: { resolve: () => resolved } as unknown as RunServiceDeps['packs'],
      audit: { record: async () => {} } as unknown as RunServiceDeps['audit'],
      clock: systemClock,
      newId,
    },
    { defaultTtlMs: 60_000 },
  );
  const ada = { id: 'token-1', name: 'ada', role: 'operator' } as const;
  const spec = { task: 'p/t', targets: 'all', parameters: {}, timeoutMs: undefined, ttlMs: undefined };
  const { run } = await runs.submit(ada, { ...spec, offline: 'wait' });
  await store.apply([{ runId: run.id, agentId: 'a', epoch: 0, state: 'failed', endedAt: new Date() }]);
  const first = await runs.retry(ada, run.id, 'key');
  await store.apply([{ runId: run.id, agentId: 'b', epoch: 0, state: 'failed', endedAt: new Date() }]);
  const second = await runs.retry(ada, run.id, 'key');
  expect(second).toMatchObject({ existing: true, run: { id: first.run.id } });
});
