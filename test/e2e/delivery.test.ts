import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OfflinePolicy, RunServiceService, type SubmitRunRequest } from '@openline/proto/operator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilDead } from '../harness/chaos.ts';
import {
  cleanup,
  eventually,
  markerDir,
  type Network,
  packsHeld,
  pushPacks,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startNetwork,
  startServer,
  stateName,
  type TestAgent,
  type TestServer,
  violations,
} from '../harness/index.ts';

let server: TestServer;
let dir: string;
let markers: Awaited<ReturnType<typeof markerDir>>;
let away: TestAgent;
let network: Network;

beforeAll(async () => {
  dir = scratchDir('delivery');
  markers = await markerDir(dir);
  server = await startServer({
    dir,
    flags: ['--heartbeat-interval=500ms', '--offline-after=3s', '--lost-after=1s'],
  });
  await pushPacks(server);
  network = await startNetwork(server.agentPort);
  // Two tasks at a time, two may wait.
  await startAgent({ dir, server, name: 'small', flags: ['--tasks-concurrency=2', '--tasks-queue-limit=2'] });
  away = await startAgent({ dir, server, name: 'away', port: network.port });
  await packsHeld(server);
});
afterAll(cleanup);

const marker = (ms: number) => ({ dir: markers.dir, ms });
const startsOf = async (runId: string) => (await markers.starts()).filter((start) => start.runId === runId);
const started = (runId: string, count = 1) =>
  eventually(async () => (await startsOf(runId)).length >= count, { what: `${count} starts of run ${runId}` });

/** agent → state and reason. */
async function ends(runId: string): Promise<Record<string, string>> {
  const { dispatches } = await server.operator.ended(runId);
  return Object.fromEntries(
    dispatches.map((d) => [
      d.agentName,
      d.reasonCode === '' ? stateName(d.state) : `${stateName(d.state)} ${d.reasonCode}`,
    ]),
  );
}
const stateOn = async (runId: string, agent: string): Promise<string> => {
  const dispatch = (await server.operator.getRun(runId)).dispatches.find((d) => d.agentName === agent);
  return dispatch === undefined ? 'none' : stateName(dispatch.state);
};
/** That it has left its marker is not enough where the agent is cut off then: the server has to have heard of it. */
const untilRunning = (runId: string, agent: string) =>
  eventually(async () => (await stateOn(runId, agent)) === 'running', { what: `${agent} to run ${runId}` });
const untilOffline = (name: string) =>
  eventually(async () => (await server.operator.agents()).some((a) => a.name === name && !a.online), {
    what: `${name} to be offline`,
  });

describe('a target that is offline', () => {
  beforeAll(async () => {
    await away.stop();
    await untilOffline('away');
  });

  it('is rejected at once when the run does not wait; the others run', async () => {
    const run = await server.operator.submit('test/marker', { parameters: marker(0) });
    expect(await ends(run.id)).toEqual({ away: 'rejected AGENT_OFFLINE', small: 'succeeded' });
  });

  it('expires when it does not come back within the time to live', async () => {
    const run = await server.operator.submit('test/marker', { parameters: marker(0), wait: true, ttlMs: 1000 });
    expect(await stateOn(run.id, 'away')).toBe('queued');
    expect(await ends(run.id)).toEqual({ away: 'expired TTL_EXPIRED', small: 'succeeded' });
  });

  it('is cancelled at once, and never runs it', async () => {
    const run = await server.operator.submit('test/marker', {
      targets: 'name=away',
      parameters: marker(0),
      wait: true,
    });
    await server.operator.cancel(run.id);
    expect(await ends(run.id)).toEqual({ away: 'cancelled TASK_CANCELLED' });
  });

  it('runs what waits for it when it comes back, and nothing that ended meanwhile', async () => {
    const waits = await server.operator.submit('test/marker', { parameters: marker(0), wait: true });
    away = await away.restart();
    expect(await ends(waits.id)).toEqual({ away: 'succeeded', small: 'succeeded' });
    const { runs } = await server.operator.unary(RunServiceService.listRuns, {
      limit: 100,
      pageToken: '',
      openOnly: false,
      task: '',
    });
    const claims = [];
    for (const { id } of runs) {
      for (const d of (await server.operator.getRun(id)).dispatches)
        claims.push({ runId: id, agent: d.agentName, state: stateName(d.state) });
    }
    expect(violations(await markers.starts(), claims)).toEqual([]);
    expect((await markers.starts()).filter(({ agent }) => agent === 'away')).toHaveLength(1);
  });
});

describe('an end that is forced', () => {
  it('by the timeout stops the process', async () => {
    const run = await server.operator.submit('test/marker', {
      targets: 'name=away',
      parameters: marker(60_000),
      timeoutMs: 500,
    });
    expect(await ends(run.id)).toEqual({ away: 'timed_out TASK_TIMED_OUT' });
    for (const { pid } of await startsOf(run.id)) await untilDead(pid);
  });

  it('by cancelling what runs and what waits at the agent', async () => {
    const running = await Promise.all(
      [1, 2].map(() => server.operator.submit('test/marker', { targets: 'name=small', parameters: marker(60_000) })),
    );
    for (const { id } of running) await started(id);
    const waiting = await server.operator.submit('test/marker', { targets: 'name=small', parameters: marker(0) });
    await eventually(async () => (await stateOn(waiting.id, 'small')) === 'accepted', { what: 'the third to wait' });
    await server.operator.cancel(waiting.id);
    expect(await ends(waiting.id)).toEqual({ small: 'cancelled TASK_CANCELLED' });
    expect(await startsOf(waiting.id)).toEqual([]);
    for (const { id } of running) {
      await server.operator.cancel(id);
      expect(await ends(id)).toEqual({ small: 'cancelled TASK_CANCELLED' });
      for (const { pid } of await startsOf(id)) await untilDead(pid);
    }
  });

  it('by cancelling while the agent cannot be reached: it hears of it when it comes back', async () => {
    const run = await server.operator.submit('test/marker', { targets: 'name=away', parameters: marker(60_000) });
    await untilRunning(run.id, 'away');
    network.freeze();
    await untilOffline('away');
    await server.operator.cancel(run.id);
    expect(await stateOn(run.id, 'away')).toBe('running');
    network.thaw();
    expect(await ends(run.id)).toEqual({ away: 'cancelled TASK_CANCELLED' });
  });
});

describe('a retry', () => {
  it('is a new run on those that did not succeed', async () => {
    await away.stop();
    await untilOffline('away');
    const first = await server.operator.submit('test/marker', { parameters: marker(0) });
    expect(await ends(first.id)).toEqual({ away: 'rejected AGENT_OFFLINE', small: 'succeeded' });
    away = await away.restart();
    const { run } = await server.operator.unary(RunServiceService.retryRun, { runId: first.id, idempotencyKey: '' });
    expect(run?.retryOf).toBe(first.id);
    expect(await ends(run?.id ?? '')).toEqual({ away: 'succeeded' });
  });
});

describe('an idempotency key', () => {
  const request = (ms: number): SubmitRunRequest => ({
    spec: {
      task: 'test/marker',
      targets: 'all',
      parametersJson: JSON.stringify(marker(ms)),
      parametersFrom: {},
      timeoutMs: 0,
      ttlMs: 0n,
      offline: OfflinePolicy.OFFLINE_POLICY_FAIL,
    },
    idempotencyKey: 'only-once',
  });
  const submit = (ms: number) => server.operator.unary(RunServiceService.submitRun, request(ms));

  it('of twenty who submit at once makes one run, which runs once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit(1)));
    const ids = new Set(answers.map(({ run }) => run?.id));
    expect(ids.size).toBe(1);
    expect(answers.filter(({ existing }) => !existing)).toHaveLength(1);
    const [id = ''] = ids;
    expect(await ends(id)).toEqual({ away: 'succeeded', small: 'succeeded' });
    expect(await startsOf(id)).toHaveLength(2);
    expect((await submit(1)).run?.id).toBe(id);
    expect(await startsOf(id)).toHaveLength(2);
  });

  it('that is used for something else is refused', async () => {
    await expect(submit(2)).rejects.toThrow('[IDEMPOTENCY_CONFLICT]');
  });
});

describe('an agent that has enough to do', () => {
  it('runs so many at a time and lets so many wait; what is more waits at the server', async () => {
    const before = (await markers.starts()).length;
    const runs = await Promise.all(
      Array.from({ length: 5 }, () =>
        server.operator.submit('test/marker', { targets: 'name=small', parameters: marker(60_000) }),
      ),
    );
    await eventually(async () => (await server.operator.agents('name=small'))[0]?.queued === 2, {
      what: 'two that wait',
    });
    await eventually(async () => (await markers.starts()).length - before === 2, { what: 'two that run' });
    const states = await Promise.all(runs.map(({ id }) => stateOn(id, 'small')));
    expect(states.filter((state) => state === 'queued')).toHaveLength(1);
    // Where one ends, another begins, until each had its turn.
    const open = new Set(runs.map(({ id }) => id));
    while (open.size > 0) {
      const begun = await eventually(async () => (await markers.starts()).find(({ runId }) => open.has(runId))?.runId, {
        what: 'the next one',
      });
      await server.operator.cancel(begun);
      expect(await ends(begun)).toEqual({ small: 'cancelled TASK_CANCELLED' });
      open.delete(begun);
    }
    expect((await markers.starts()).length - before).toBe(5);
  });
});

describe('a pack', () => {
  const content = (version: string, text: string, interpreter = 'sh'): Buffer =>
    Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata: {name: late, version: ${version}, title: Late, description: Comes while agents are connected.}
tasks:
  say:
    title: Say
    description: Says it.
    timeout: 10s
    run: {script: {interpreter: ${interpreter}, source: 'echo ${text}'}}
`);
  const push = async (bytes: Buffer) =>
    server.operator.pushPack(bytes, await signWithSiteKey(server, bytes), 'late.yaml');

  it('that an agent does not hold yet is waited for', async () => {
    for (const [version, text] of [
      ['1.0.0', 'one'],
      ['1.1.0', 'two'],
      ['1.2.0', 'three'],
    ] as const) {
      await push(content(version, text));
      // At once: the agents have only just been told of it.
      const run = await server.operator.submit(`late@${version}/say`);
      expect(await ends(run.id)).toEqual({ away: 'succeeded', small: 'succeeded' });
      const [first] = (await server.operator.getRun(run.id)).dispatches;
      expect(`${(await server.operator.output(run.id, first?.agentId ?? '')).data}`).toBe(`${text}\n`);
    }
  });

  it('that came while an agent was away is fetched when it is back, before the task that waits', async () => {
    await away.stop();
    await untilOffline('away');
    await push(content('2.0.0', 'four'));
    const run = await server.operator.submit('late/say', { wait: true });
    away = await away.restart();
    expect(await ends(run.id)).toEqual({ away: 'succeeded', small: 'succeeded' });
  });

  it('whose interpreter the machine does not have: rejected, with the reason', async () => {
    const { facts } = (await server.operator.agents('name=small'))[0] ?? {};
    const missing = ['pwsh', 'python3', 'node', 'bash'].find((name) => facts?.[`interpreter.${name}`] === undefined);
    if (missing === undefined) throw new Error('this machine has every interpreter that a task can name');
    await push(content('3.0.0', 'five', missing));
    const run = await server.operator.submit('late/say');
    expect(await ends(run.id)).toEqual({
      away: 'rejected REQUIREMENTS_NOT_MET',
      small: 'rejected REQUIREMENTS_NOT_MET',
    });
    const { dispatches } = await server.operator.getRun(run.id);
    expect(dispatches[0]?.reason).toContain(missing);
  });

  it('of a key that the agent does not trust: rejected, with the reason', async () => {
    const other = 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3';
    const strict = await startAgent({ dir, server, name: 'strict', flags: [`--trusted-pack-key=${other}`] });
    const run = await server.operator.submit('test/marker', { targets: 'name=strict', parameters: marker(0) });
    expect(await ends(run.id)).toEqual({ strict: 'rejected PACK_NOT_HELD' });
    expect((await server.operator.getRun(run.id)).dispatches[0]?.reason).toMatch(/key.* not trusted/i);
    const [agent] = await server.operator.agents('name=strict');
    expect(agent?.packs.map(({ ready, reasonCode }) => ({ ready, reasonCode }))).toContainEqual({
      ready: false,
      reasonCode: 'PACK_KEY_UNTRUSTED',
    });
    await strict.stop();
  });
});

describe('what nobody can know', () => {
  it('is lost when the journal is gone, and is never run again', async () => {
    const run = await server.operator.submit('test/marker', {
      targets: 'name=away',
      parameters: marker(60_000),
      wait: true,
    });
    await started(run.id);
    await away.kill9();
    await rm(join(away.dataDir, 'journal'), { recursive: true });
    away = await away.restart();
    expect(await ends(run.id)).toEqual({ away: 'lost JOURNAL_REPLACED' });
    const next = await server.operator.run('test/marker', { targets: 'name=away', parameters: marker(0) });
    expect(next.dispatches.map((d) => stateName(d.state))).toEqual(['succeeded']);
    expect(await startsOf(run.id)).toHaveLength(1);
  });

  it('is lost when the agent does not come back; what it says when it does come back replaces that', async () => {
    const run = await server.operator.submit('test/marker', {
      targets: 'name=away',
      parameters: marker(3000),
      timeoutMs: 4000,
      ttlMs: 1000,
      wait: true,
    });
    await untilRunning(run.id, 'away');
    network.freeze();
    expect(await ends(run.id)).toEqual({ away: 'lost AGENT_UNREACHABLE' });
    network.thaw();
    // The run is counted anew once its dispatch has changed.
    const { dispatches } = await eventually(
      async () => {
        const answer = await server.operator.getRun(run.id);
        const counts = answer.run?.counts.map(({ state, count }) => `${count} ${stateName(state)}`);
        return counts?.join() === '1 succeeded' && answer;
      },
      { what: 'the result after all' },
    );
    expect(dispatches[0]).toMatchObject({ reasonCode: '', reason: '', exitCode: 0 });
    expect(await startsOf(run.id)).toHaveLength(1);
  });
});
