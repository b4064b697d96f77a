import { afterAll, beforeAll, expect, it } from 'vitest';
import { killPostgres, seeded } from '../harness/chaos.ts';
import { cleanup, eventually, stateName, type TestServer, violations } from '../harness/index.ts';
import { type Fleet, type Member, startFleet } from './fleet.ts';

/** Longer: OPENLINE_CHAOS_SECONDS=600 npx vitest run test/chaos/storm. The same dice again: OPENLINE_CHAOS_SEED. */
const SECONDS = Number(process.env['OPENLINE_CHAOS_SECONDS'] ?? 20);
const SEED = Number(process.env['OPENLINE_CHAOS_SEED'] ?? Date.now() % 1_000_000);
const AGENTS = 3;
const SUBMITTERS = 4;

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet('storm', AGENTS, ['--tasks-concurrency=16', '--tasks-queue-limit=4000']);
});
afterAll(cleanup);

/** A result does not wait for its output, which after an outage may come a moment later. */
const outputStored = (runId: string, agentName: string) =>
  eventually(
    async () => {
      const { dispatches } = await fleet.server.operator.getRun(runId);
      const dispatch = dispatches.find((each) => each.agentName === agentName);
      return dispatch !== undefined && dispatch.outputStoredBytes === dispatch.outputBytes;
    },
    { what: `the output of ${runId} on ${agentName}` },
  );

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it(
  `keeps every promise while server, PostgreSQL, agents and networks fail at random (seed ${SEED})`,
  async () => {
    const untilMs = performance.now() + SECONDS * 1000;
    const raging = (): boolean => performance.now() < untilMs;
    /** Each actor has dice of its own, so that one's choices do not depend on the others' timing. */
    let actors = 0;
    const dice = () => {
      const random = seeded(SEED * 1000 + actors++);
      return { between: (from: number, to: number) => Math.floor(from + random() * (to - from)), random };
    };

    async function serverDies(): Promise<void> {
      const { between } = dice();
      for (await pause(between(1000, 4000)); raging(); await pause(between(2000, 6000))) {
        await fleet.server.kill9();
        await pause(between(0, 1000));
        fleet.server = await supervised(fleet.server.restart);
      }
    }
    /** PostgreSQL may be killed in the middle of a start, which then fails: on a busy machine again and again, but not once the storm is over. */
    async function supervised(restart: TestServer['restart']): Promise<TestServer> {
      while (raging()) {
        const server = await restart().catch(() => undefined);
        if (server !== undefined) return server;
      }
      return restart();
    }
    async function postgresDies(): Promise<void> {
      const { between } = dice();
      for (await pause(between(1000, 6000)); raging(); await pause(between(3000, 9000))) {
        // It may be down at this very moment.
        await killPostgres(fleet.server).catch(() => {});
      }
    }
    async function agentDies(member: Member): Promise<void> {
      const { between } = dice();
      for (await pause(between(2000, 8000)); raging(); await pause(between(3000, 12_000))) {
        await member.agent.kill9();
        await pause(between(0, 1500));
        member.agent = await member.agent.restart({ server: fleet.server, awaitOnline: false });
      }
    }
    async function networkFails({ network }: Member): Promise<void> {
      const { between } = dice();
      for (await pause(between(0, 2000)); raging(); await pause(between(200, 3000))) {
        switch (between(0, 6)) {
          case 0:
            network.cut();
            break;
          case 1:
            network.swallow('up');
            break;
          case 2:
            network.swallow('down');
            break;
          case 3:
            network.delay(between(1, 200));
            break;
          case 4:
            network.refuse(true);
            network.cut();
            await pause(between(100, 1500));
            network.refuse(false);
            break;
          default:
            network.freeze();
            await pause(between(100, 3000));
            network.thaw();
        }
      }
      network.delay(0);
    }

    const runs: string[] = [];
    async function submits(submitter: number): Promise<void> {
      const { between } = dice();
      for (let i = 0; raging(); i++) {
        const parameters = { dir: fleet.markers.dir, ms: between(0, 10) === 0 ? 2000 : between(0, 400) };
        const request = { parameters, wait: true, ttlMs: 600_000, idempotencyKey: `${submitter}-${i}` };
        // Until it is answered, always with the same key: whatever was committed before a crash is found again, not made twice.
        for (;;) {
          const run = await fleet.server.operator.submit('test/marker', request).catch(() => undefined);
          if (run !== undefined) {
            runs.push(run.id);
            break;
          }
          await pause(50);
        }
        await pause(between(0, 300));
      }
    }

    await Promise.all([
      serverDies(),
      postgresDies(),
      ...fleet.members.flatMap((member) => [agentDies(member), networkFails(member)]),
      ...Array.from({ length: SUBMITTERS }, (_, i) => submits(i)),
    ]);

    // Everything heals.
    const { operator } = fleet.server;
    await operator.online(AGENTS, 60_000);
    expect(new Set(runs).size).toBe(runs.length);
    const claims = [];
    for (const runId of runs) {
      const { dispatches } = await operator.ended(runId, 60_000);
      expect(dispatches).toHaveLength(AGENTS);
      for (const dispatch of dispatches) {
        const state = stateName(dispatch.state);
        claims.push({ runId, agent: dispatch.agentName, state });
        // Only an agent that died with the task running may not know; nothing else may be missing.
        expect([state, dispatch.reasonCode]).toEqual(
          state === 'lost' ? ['lost', 'AGENT_RESTARTED'] : ['succeeded', ''],
        );
        if (state === 'succeeded') {
          if (dispatch.outputStoredBytes !== dispatch.outputBytes) await outputStored(runId, dispatch.agentName);
        }
      }
    }
    expect(violations(await fleet.markers.starts(), claims)).toEqual([]);
    const lost = claims.filter(({ state }) => state === 'lost').length;
    console.log(`storm, seed ${SEED}: ${runs.length} runs, ${claims.length} dispatches, ${lost} lost`);
    expect(lost).toBeLessThan(claims.length / 2);
  },
  SECONDS * 1000 + 150_000,
);
