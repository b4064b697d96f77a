import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilDead } from '../harness/chaos.ts';
import {
  cleanup,
  connectionsTo,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  scratchDir,
  startAgent,
  startServer,
  stateName,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

/** Debian's and Fedora's package libfaketime: the wall clock of a process as a file says it, while the monotonic one goes on. */
const LIBRARY = ['/usr/lib', '/usr/lib64', ...folders('/usr/lib')]
  .map((dir) => join(dir, 'faketime', 'libfaketimeMT.so.1'))
  .find((path) => existsSync(path));
if (LIBRARY === undefined)
  console.warn('test/e2e/clock: skipped, as libfaketime is not installed (apt-get install libfaketime)');

function folders(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true }).flatMap((each) =>
    each.isDirectory() ? [join(dir, each.name)] : [],
  );
}

describe.skipIf(LIBRARY === undefined)('a clock of server, database and agent that jumps an hour', () => {
  let server: TestServer;
  let agent: TestAgent;
  let markers: Awaited<ReturnType<typeof markerDir>>;
  let clockFile: string;

  beforeAll(async () => {
    const dir = scratchDir('clock');
    clockFile = join(dir, 'clock');
    markers = await markerDir(dir);
    setClock(0);
    const env = {
      LD_PRELOAD: LIBRARY ?? '',
      FAKETIME_TIMESTAMP_FILE: clockFile,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    server = await startServer({ dir, env, flags: ['--heartbeat-interval=1s', '--offline-after=4s'] });
    await pushPacks(server);
    agent = await startAgent({ dir, server, name: 'agent', env });
    await packsHeld(server);
  });
  afterAll(cleanup);

  /** @param offset seconds from the clock of this machine */
  const setClock = (offset: number) => writeFileSync(clockFile, `${offset < 0 ? '' : '+'}${offset}\n`);
  const submit = async (ms: number, more: { timeoutMs?: number } = {}) =>
    (await server.operator.submit('test/marker', { parameters: { dir: markers.dir, ms }, ...more })).id;
  const started = (runId: string) =>
    eventually(async () => (await markers.starts()).find((start) => start.runId === runId), {
      what: `${runId} to start`,
    });
  const ended = async (runId: string) => {
    const [dispatch] = (await server.operator.ended(runId)).dispatches;
    if (dispatch === undefined) throw new Error('the run has no target');
    return dispatch;
  };
  const connection = async () => {
    const [socket, ...more] = await connectionsTo(agent.process.pid, server.agentPort);
    expect(more).toEqual([]);
    return socket;
  };

  it.each([
    ['forward', 3600],
    ['two hours back', -3600],
    ['to what it was', 0],
  ])('%s breaks no timer: the line stays, tasks run on, and a timeout is as long as it was', async (_, offset) => {
    const before = await connection();
    const [runs, hangs] = [await submit(1_500), await submit(60_000, { timeoutMs: 3_000 })];
    const { pid } = (await Promise.all([started(runs), started(hangs)]))[1];
    const startMs = performance.now();
    setClock(offset);

    const ran = await ended(runs);
    expect(stateName(ran.state)).toBe('succeeded');
    // Its clock did jump.
    expect(Math.abs(Number(ran.endedUnixMs) - Date.now() - offset * 1000)).toBeLessThan(60_000);
    const hung = await ended(hangs);
    expect([stateName(hung.state), hung.reasonCode]).toEqual(['timed_out', 'TASK_TIMED_OUT']);
    expect(performance.now() - startMs).toBeGreaterThan(1_500);
    await untilDead(pid);
    expect(stateName((await ended(await submit(0))).state)).toBe('succeeded');
    expect(await connection()).toEqual(before);
    const [view] = await server.operator.agents();
    expect(view).toMatchObject({ online: true, sessionEpoch: 1n });
  });

  it('back keeps nobody out: an agent that restarts connects, with the certificate that it has', async () => {
    setClock(-3600);
    await agent.stop();
    agent = await agent.restart({ awaitOnline: false });
    await eventually(async () => (await server.operator.agents())[0]?.sessionEpoch === 2n, { what: 'it to be back' });
    expect(stateName((await ended(await submit(0))).state)).toBe('succeeded');
  });
});
