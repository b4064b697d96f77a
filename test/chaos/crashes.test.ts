import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killPostgres, untilDead } from '../harness/chaos.ts';
import { cleanup, eventually, stateName } from '../harness/index.ts';
import { type Fleet, startFleet, states } from './fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet('crashes', 4, ['--tasks-concurrency=2']);
});
afterAll(cleanup);

/** More tasks than slots: some have ended, some run, some wait when the crash comes. */
async function manyRuns(): Promise<string[]> {
  const runs = await Promise.all([200, 600, 1000, 300, 1500].map((ms) => fleet.mark(ms)));
  await Promise.all(runs.slice(0, 1).map((run) => fleet.untilStarted(run, 4)));
  return runs;
}

describe('kill -9 of the server in the middle of runs', () => {
  it('loses no result, starts nothing twice, and ends every dispatch', async () => {
    const runs = await manyRuns();
    await fleet.server.kill9();
    fleet.server = await fleet.server.restart();
    expect(states(await fleet.check(runs))).toEqual(['succeeded']);
  });

  it('takes results that came up while it was down', async () => {
    const run = await fleet.mark(100);
    await fleet.untilStarted(run, 4);
    await fleet.server.kill9();
    await eventually(
      async () => (await fleet.markers.starts()).filter((s) => s.runId === run && s.ended).length === 4,
      {
        what: 'the ends of the tasks, without a server',
      },
    );
    fleet.server = await fleet.server.restart();
    expect(states(await fleet.check([run]))).toEqual(['succeeded']);
  });

  it('again and again, keeps every run that it answered for', async () => {
    const runs: string[] = [];
    for (let i = 0; i < 3; i++) {
      runs.push(await fleet.mark(300), await fleet.mark(10));
      // Nothing is awaited: it dies between the answer and the agents.
      await fleet.server.kill9();
      fleet.server = await fleet.server.restart();
    }
    expect(states(await fleet.check(runs))).toEqual(['succeeded']);
  });
});

describe('kill -9 of an agent in the middle of tasks', () => {
  it('ends what ran as lost, runs what waited, and leaves the others alone', async () => {
    const [victim] = fleet.members;
    if (victim === undefined) throw new Error('no agents');
    const running = await Promise.all([fleet.mark(60_000, { targets: 'all' }), fleet.mark(60_000, { targets: 'all' })]);
    await Promise.all(running.map((run) => fleet.untilStarted(run, 4)));
    const waiting = await fleet.mark(10);
    const pids = (await fleet.markers.starts())
      .filter((s) => s.agent === victim.name && running.includes(s.runId))
      .map((s) => s.pid);
    expect(pids).toHaveLength(2);

    await victim.agent.kill9();
    victim.agent = await victim.agent.restart({ server: fleet.server });
    // What an agent that died left running is stopped: it would otherwise run beside its own retry.
    await Promise.all(pids.map((pid) => untilDead(pid)));
    for (const run of running) {
      const dispatch = await eventually(
        async () =>
          (await fleet.server.operator.getRun(run)).dispatches.find(
            (d) => d.agentName === victim.name && d.endedUnixMs > 0n,
          ),
        { what: 'the end of what ran on the agent that died' },
      );
      expect([stateName(dispatch.state), dispatch.reasonCode]).toEqual(['lost', 'AGENT_RESTARTED']);
    }
    const other = await fleet.server.operator.getRun(running[0] ?? '');
    expect(other.dispatches.filter((d) => d.agentName !== victim.name).map((d) => stateName(d.state))).toEqual([
      'running',
      'running',
      'running',
    ]);
    await Promise.all(running.map((run) => fleet.server.operator.cancel(run)));
    const claims = await fleet.check([...running, waiting]);
    expect(states(claims.filter(({ runId }) => runId === waiting))).toEqual(['succeeded']);
    expect(states(claims.filter(({ runId }) => runId !== waiting))).toEqual(['cancelled', 'lost']);
  });

  it('does not run again what had ended before, though its result had not been taken', async () => {
    const [victim] = fleet.members;
    if (victim === undefined) throw new Error('no agents');
    const run = await fleet.mark(300);
    await fleet.untilStarted(run, 4);
    // The result is written at the agent and cannot go up.
    victim.network.freeze();
    await eventually(
      async () => (await fleet.markers.starts()).filter((s) => s.runId === run && s.ended).length === 4,
      { what: 'the ends of the tasks' },
    );
    const result = () => victim.agent.process.hasExited();
    expect(result()).toBe(false);
    await victim.agent.kill9();
    victim.network.thaw();
    victim.agent = await victim.agent.restart({ server: fleet.server });
    // The task may have ended a moment before its result was on disk: then nobody can know, and it says so.
    const claims = await fleet.check([run]);
    expect(['lost', 'succeeded']).toContain(claims.find(({ agent }) => agent === victim.name)?.state);
    expect(claims.filter(({ state }) => state === 'succeeded').length).toBeGreaterThanOrEqual(3);
  });
});

describe('kill -9 of PostgreSQL in the middle of runs', () => {
  it('loses no result; it comes back by itself', async () => {
    const runs = await manyRuns();
    await killPostgres(fleet.server);
    expect(states(await fleet.check(runs))).toEqual(['succeeded']);
    expect(await fleet.server.http('/readyz')).toMatchObject({ status: 200 });
  });

  it('refuses a submit meanwhile with a code, or takes it for good', async () => {
    await killPostgres(fleet.server);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        fleet.mark(10).then(
          (id) => ({ id, why: '' }),
          (error: Error) => ({ id: '', why: error.message }),
        ),
      ),
    );
    for (const { id, why } of answers) if (id === '') expect(why).toContain('[STORE_UNAVAILABLE]');
    const later = await eventually(() => fleet.mark(10), { what: 'a submit to be taken again' });
    const taken = answers.flatMap(({ id }) => (id === '' ? [] : [id]));
    expect(states(await fleet.check([...taken, later]))).toEqual(['succeeded']);
  });

  it('together with the server, loses nothing either', async () => {
    const runs = await manyRuns();
    await Promise.all([killPostgres(fleet.server), fleet.server.kill9()]);
    fleet.server = await fleet.server.restart();
    expect(states(await fleet.check(runs))).toEqual(['succeeded']);
  });
});
