import { readFile } from 'node:fs/promises';
import { MAX_OUTPUT_BYTES } from '@openline/proto/limits';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilDead } from '../harness/chaos.ts';
import {
  cleanup,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  runCli,
  scratchDir,
  startAgent,
  startServer,
  stateName,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

let server: TestServer;
let loud: TestAgent;
let markers: Awaited<ReturnType<typeof markerDir>>;

beforeAll(async () => {
  const dir = scratchDir('output');
  markers = await markerDir(dir);
  server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=15s'] });
  await pushPacks(server);
  [loud] = await Promise.all([
    startAgent({ dir, server, name: 'loud', flags: ['--tasks-kill-grace=500ms'] }),
    startAgent({ dir, server, name: 'quiet' }),
  ]);
  await packsHeld(server);
});
afterAll(cleanup);

const onLoud = (parameters: Record<string, unknown> = {}, more: { timeoutMs?: number } = {}) => ({
  targets: 'name=loud',
  parameters,
  ...more,
});

/** Resident memory now, from the kernel, MiB. */
async function rssMib(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function outputOf(runId: string): Promise<Buffer> {
  const { dispatches } = await server.operator.getRun(runId);
  return (await server.operator.output(runId, dispatches[0]?.agentId ?? '')).data;
}

const lines = (count: number): string => Array.from({ length: count }, (_, i) => `${i + 1}\n`).join('');

describe('output without end', () => {
  it('of 1 GiB: memory stays bounded, nobody waits, the cut is exact and shown', { timeout: 120_000 }, async () => {
    const bytes = 1024 ** 3;
    const before = { server: await rssMib(server.process.pid), agent: await rssMib(loud.process.pid) };
    const flood = await server.operator.submit('test/flood', onLoud({ bytes }));
    const most = { server: 0, agent: 0 };
    let others = 0;
    for (;;) {
      // Meanwhile: another task on the same agent, and on another one.
      const { run } = await server.operator.run('test/show', { parameters: { value: 'meanwhile' } });
      others++;
      expect(run?.counts).toEqual([{ state: 5, count: 2 }]);
      most.server = Math.max(most.server, await rssMib(server.process.pid));
      most.agent = Math.max(most.agent, await rssMib(loud.process.pid));
      if (((await server.operator.getRun(flood.id)).run?.endedUnixMs ?? 0n) > 0n) break;
    }
    expect(most.server - before.server).toBeLessThan(150);
    expect(most.agent - before.agent).toBeLessThan(100);
    // The first would be the last, had it waited for the flood.
    expect(others).toBeGreaterThan(1);

    const { dispatches } = await server.operator.getRun(flood.id);
    expect(dispatches[0]).toMatchObject({
      outputBytes: BigInt(MAX_OUTPUT_BYTES),
      outputDroppedBytes: BigInt(bytes - MAX_OUTPUT_BYTES),
      exitCode: 0,
    });
    const { data, droppedBytes } = await server.operator.output(flood.id, dispatches[0]?.agentId ?? '');
    expect(data.length).toBe(MAX_OUTPUT_BYTES);
    expect(data.every((byte) => byte === 'x'.charCodeAt(0))).toBe(true);
    expect(droppedBytes).toBe(BigInt(bytes - MAX_OUTPUT_BYTES));
    const shown = await runCli(server, ['runs', 'output', flood.id]);
    expect(shown.stdout.length).toBe(MAX_OUTPUT_BYTES);
    // In words, apart from the bytes themselves.
    expect(shown.stderr).toMatch(/1,?065,?353,?216 bytes|1016 MiB/);
  });

  it('of 10,000 lines a second, while somebody follows', async () => {
    const count = 50_000;
    const shown = await runCli(server, [
      'run',
      'test/lines',
      '--on=name=loud',
      '-p',
      `count=${count}`,
      '-p',
      'per-second=10000',
      '--follow',
    ]);
    expect(shown.code).toBe(0);
    expect(shown.stdout.toString() === lines(count)).toBe(true);
  });
});

describe('output of any bytes', () => {
  it('arrives as it is: every byte value, most of it no UTF-8', async () => {
    const times = 500;
    const { run } = await server.operator.run('test/binary', onLoud({ times }));
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const expected = Buffer.concat(Array.from({ length: times }, () => all));
    expect((await outputOf(run?.id ?? '')).equals(expected)).toBe(true);
    const shown = await runCli(server, ['runs', 'output', run?.id ?? '']);
    expect(shown.stdout.equals(expected)).toBe(true);
  });

  it('goes on where it was after a restart of the server and a crash of it, with no byte twice and none missing', async () => {
    const count = 60_000;
    const run = await server.operator.submit('test/lines', onLoud({ count, 'per-second': 10_000 }));
    for (const end of [(s: TestServer) => s.kill9(), (s: TestServer) => s.stop()]) {
      const stored = async () => (await server.operator.getRun(run.id)).dispatches[0]?.outputStoredBytes ?? 0n;
      const before = await stored();
      await eventually(async () => (await stored()) > before, { what: 'output to come' });
      await end(server);
      server = await server.restart();
    }
    await server.operator.online(2);
    await server.operator.ended(run.id);
    expect((await outputOf(run.id)).toString() === lines(count)).toBe(true);
    expect((await server.operator.getRun(run.id)).dispatches[0]).toMatchObject({ outputDroppedBytes: 0n, exitCode: 0 });
  });
});

describe('a task that does not want to end', () => {
  const childOf = async (runId: string): Promise<number> =>
    Number(/child (\d+)/.exec((await outputOf(runId)).toString())?.[1]);

  it('and leaves a child in its process group behind: it ends with the task', async () => {
    const { run, dispatches } = await server.operator.run('test/forker', onLoud({ ms: 60_000 }));
    expect(dispatches.map(({ state }) => stateName(state))).toEqual(['succeeded']);
    await untilDead(await childOf(run?.id ?? ''));
  });

  it('and leaves a child in a session of its own: the result does not wait for it, and the output says so', async () => {
    const startMs = performance.now();
    const { run } = await server.operator.run('test/forker', onLoud({ ms: 50_000, 'own-session': true }));
    expect(performance.now() - startMs).toBeLessThan(40_000);
    expect(run?.counts).toEqual([{ state: 5, count: 1 }]);
    process.kill(await childOf(run?.id ?? ''), 'SIGKILL');
    expect(`${await outputOf(run?.id ?? '')}`).toContain(
      '[openline: output may be incomplete: a process that the task left',
    );
  });

  it('and ignores TERM: KILL ends it after the grace, by timeout and by cancelling', async () => {
    const timed = await server.operator.run('test/ignore-term', onLoud({}, { timeoutMs: 500 }));
    expect(timed.dispatches.map(({ state, signal }) => [stateName(state), signal])).toEqual([['timed_out', 'SIGKILL']]);
    const run = await server.operator.submit('test/ignore-term', onLoud());
    await eventually(
      async () =>
        /ignoring TERM as \d+/.test(
          (
            await server.operator.output(
              run.id,
              (await server.operator.getRun(run.id)).dispatches[0]?.agentId ?? '',
              false,
            )
          ).data.toString(),
        ),
      { what: 'it to run' },
    );
    await server.operator.cancel(run.id);
    const { dispatches } = await server.operator.ended(run.id);
    expect(dispatches.map(({ state, signal }) => [stateName(state), signal])).toEqual([['cancelled', 'SIGKILL']]);
    await untilDead(Number(/as (\d+)/.exec((await outputOf(run.id)).toString())?.[1]));
  });

  it('and is one of many: the others are not delayed', async () => {
    const stubborn = await server.operator.submit('test/ignore-term', onLoud());
    const { run } = await server.operator.run('test/marker', onLoud({ dir: markers.dir, ms: 0 }));
    expect(run?.counts).toEqual([{ state: 5, count: 1 }]);
    await server.operator.cancel(stubborn.id);
    await server.operator.ended(stubborn.id);
  });
});
