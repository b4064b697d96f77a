import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  canMount,
  claimsOf,
  cleanup,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  runCli,
  type SmallDisk,
  scratchDir,
  smallDisk,
  startAgent,
  startServer,
  stateName,
  type TestServer,
  violations,
} from '../harness/index.ts';

const mountable = canMount();
if (!mountable) console.warn('test/e2e/disk: skipped, as filling a disk takes root and the right to mount');

describe.skipIf(!mountable)('a full disk', () => {
  let server: TestServer;
  let dir: string;
  let markers: Awaited<ReturnType<typeof markerDir>>;
  let agentDisk: SmallDisk;
  let databaseDisk: SmallDisk;

  beforeAll(async () => {
    dir = scratchDir('disk');
    markers = await markerDir(dir);
    agentDisk = smallDisk(join(dir, 'agent-small'), 16);
    databaseDisk = smallDisk(join(dir, '.openline', 'server', 'postgres'), 256);
    execFileSync('chmod', ['0700', join(dir, 'agent-small')]);
    server = await startServer({ dir, flags: ['--heartbeat-interval=500ms', '--offline-after=15s'] });
    await pushPacks(server);
    await startAgent({ dir, server, name: 'small' });
    await startAgent({ dir, server, name: 'roomy' });
    await packsHeld(server);
  });
  afterAll(cleanup);

  const mark = async (ms: number) =>
    (await server.operator.submit('test/marker', { parameters: { dir: markers.dir, ms }, wait: true })).id;
  const started = (runId: string) =>
    eventually(async () => (await markers.starts()).filter((s) => s.runId === runId).length === 2, {
      what: `both starts of ${runId}`,
    });
  const fault = async () => (await server.operator.agents('name=small'))[0]?.fault ?? '';

  it('of an agent: it takes no task, says why, and recovers by itself', async () => {
    const before = await mark(1000);
    await started(before);
    agentDisk.fill();
    // What is left of the last page is used up first.
    const during: string[] = [];
    await eventually(
      async () => {
        during.push(await mark(0));
        const { dispatches } = await server.operator.ended(during.at(-1) ?? '');
        const ends = dispatches.map((d) => `${d.agentName} ${stateName(d.state)} ${d.reasonCode}`);
        expect(ends[0]).toBe('roomy succeeded ');
        expect(ends[1]).toMatch(/^small (succeeded |rejected JOURNAL_FAILED)$/);
        return ends[1]?.includes('JOURNAL_FAILED');
      },
      { what: 'a task to be refused' },
    );
    const says = async (...args: string[]) => (await runCli(server, ['agents', ...args])).stdout.toString();
    await eventually(
      async () => {
        // Whatever the agent has given up meanwhile is room as well.
        agentDisk.fill();
        return /small +faulty/.test(await says('list')) && /space/i.test(await says('show', 'small'));
      },
      { what: 'the fault in what the CLI shows' },
    );
    agentDisk.free();
    await eventually(async () => (await fault()) === '', { what: 'the fault to go' });
    const after = await mark(0);
    await Promise.all([before, after].map((run) => server.operator.ended(run)));
    // What ran when the disk filled up, and ended before there was room again, has its result.
    const claims = (await Promise.all([before, ...during, after].map((run) => claimsOf(server.operator, run)))).flat();
    expect(violations(await markers.starts(), claims)).toEqual([]);
    expect(claims.filter(({ runId, state }) => [before, after].includes(runId) && state === 'succeeded')).toHaveLength(
      4,
    );
  });

  it('of PostgreSQL: a submit is refused with a code, readiness fails, and nothing that was taken is lost', {
    timeout: 120_000,
  }, async () => {
    const runs = [await mark(1500)];
    await started(runs[0] ?? '');
    databaseDisk.fill();
    // Room that was taken before is used up first.
    const why = await eventually(
      async () => {
        const value = 'x'.repeat(1_000_000);
        try {
          runs.push((await server.operator.submit('test/show', { parameters: { value }, targets: 'name=roomy' })).id);
        } catch (error) {
          return error instanceof Error ? error.message : String(error);
        }
        return undefined;
      },
      { what: 'a submit to be refused', timeoutMs: 60_000 },
    );
    expect(why).toContain('[STORE_UNAVAILABLE]');
    expect(await server.http('/readyz')).toMatchObject({ status: 503, body: expect.stringContaining('storing a run') });
    expect(await server.http('/healthz')).toMatchObject({ status: 200 });
    databaseDisk.free();
    await eventually(async () => (await server.http('/readyz')).status === 200, {
      what: '/readyz to be well again',
      timeoutMs: 60_000,
    });
    const later = await eventually(() => mark(0), { what: 'a submit to be taken again' });
    for (const run of [...runs, later]) {
      const { dispatches } = await server.operator.ended(run, 60_000);
      expect(dispatches.every((d) => stateName(d.state) === 'succeeded')).toBe(true);
    }
    const claims = (await Promise.all([runs[0] ?? '', later].map((run) => claimsOf(server.operator, run)))).flat();
    expect(violations(await markers.starts(), claims)).toEqual([]);
  });
});
