// The open line: tasks to many agents and to one, memory, and a server that comes back, beside a bare grpc-js echo.
import { join } from 'node:path';
import {
  packsHeld,
  processesNaming,
  pushPacks,
  scratchDir,
  startAgent,
  startServer,
  type TestServer,
} from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';
import { type BareResult, measureBare } from './bare.ts';
import { AGENT_PROCESSES, type Fleets, startFleets } from './fleets.ts';
import { allConnected, fanOutMs, reconnectMs, singleTask, summary } from './measures.ts';
import { cpuMs, rssKb } from './process-usage.ts';
import { say } from './say.ts';
import { median, significant } from './statistics.ts';

const UTILITY_PACK = join(ROOT, 'packs', 'shipped', 'utility.yaml');
const ENROLMENTS_AT_ONCE = 32;
const SINGLE_TASKS = 200;
/** As many as the bare echo has: until the JIT has seen what is hot. */
const WARM_UP_ROUNDS = 5;
/** Until an idle process has collected its garbage and answered a heartbeat or two. */
const SETTLE_MS = 5_000;

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

export async function benchLink(agents: number, rounds: number) {
  const before = await sayBare(agents);

  // Beside the code, on a real disk: /tmp may be memory, where a sync costs nothing.
  const dir = scratchDir('bench', join(ROOT, '.openline'));
  let server = await startServer({ dir, flags: [`--max-agents=${agents + 10}`, '--log-level=warn'] });
  await pushPacks(server, [UTILITY_PACK]);
  const agentMb = await realAgentMb(server, dir);
  say(`one real agent, idle: ${agentMb.toFixed(1)} MB`);

  await settle();
  const emptyKb = await rssKb(server.process.pid);
  await using fleet = startFleets();
  await enrol(server, fleet, dir, agents);
  await settle();
  const idleKb = await rssKb(server.process.pid);
  say(`server memory: ${((idleKb - emptyKb) / agents).toFixed(0)} kB per agent after connecting`);

  for (let round = 0; round < WARM_UP_ROUNDS; round++) await fanOutMs(server.operator, agents);
  const cpuBefore = cpuOfAll(server, fleet, dir);
  const fanOuts: number[] = [];
  for (let round = 0; round < rounds; round++) fanOuts.push(await fanOutMs(server.operator, agents));
  const cpuAfter = cpuOfAll(server, fleet, dir);
  const cpuPerResult = (who: keyof typeof cpuAfter): number =>
    significant(((cpuAfter[who] - cpuBefore[who]) * 1000) / (agents * rounds));
  const perS = (agents * 1000) / median(fanOuts);
  say(`fan-out: ${Math.round(perS)} durable results/s (rounds: ${fanOuts.map(Math.round).join(', ')} ms)`);

  const singles = [];
  for (let i = 0; i < SINGLE_TASKS; i++)
    singles.push(await singleTask(server.operator, nameOf(Math.floor((i * agents) / SINGLE_TASKS))));
  const accepted = summary(singles.map((one) => one.acceptedMs));
  const started = summary(singles.map((one) => one.startedMs));
  const durable = summary(singles.map((one) => one.durableMs));
  say(`single tasks: started p50 ${started.p50.toFixed(1)} ms, p99 ${started.p99.toFixed(1)} ms`);
  await settle();
  const usedKb = await rssKb(server.process.pid);

  const fleetCpuMs = fleet.cpuMs();
  const back = await reconnectMs(server, agents);
  server = back.server;
  const backCpu = { server: cpuMs(server.process.pid) / agents, agents: (fleet.cpuMs() - fleetCpuMs) / agents };
  say(
    `all back ${(back.fromKillMs / 1000).toFixed(2)} s after the kill, ${(back.fromReadyMs / 1000).toFixed(2)} s after the server was ready`,
  );
  await fanOutMs(server.operator, agents); // whoever is back must also work
  await fleet.stop();
  await server.stop();
  const bare = meanOf(before, await sayBare(agents));

  return {
    agents,
    bare: {
      echo_per_s: significant(bare.echoPerS),
      handshake_ms: significant(bare.handshakeMs),
      server_kb_per_stream: significant(bare.serverKbPerStream),
    },
    fanout: {
      per_s: significant(perS),
      ratio: significant(perS / bare.echoPerS),
      cpu_us_per_result: {
        server: cpuPerResult('server'),
        postgres: cpuPerResult('postgres'),
        agents: cpuPerResult('agents'),
      },
    },
    latency_ms: {
      accepted_p50: significant(accepted.p50),
      accepted_p99: significant(accepted.p99),
      started_p50: significant(started.p50),
      started_p99: significant(started.p99),
      durable_p50: significant(durable.p50),
      durable_p99: significant(durable.p99),
    },
    memory: {
      server_kb_per_agent: significant((usedKb - emptyKb) / agents),
      server_kb_per_agent_connected_only: significant((idleKb - emptyKb) / agents),
      agent_mb: significant(agentMb),
    },
    reconnect: {
      s: significant(back.fromKillMs / 1000),
      s_after_ready: significant(back.fromReadyMs / 1000),
      ratio: significant(back.fromKillMs / (bare.handshakeMs * agents)),
      cpu_ms_per_agent: { server: significant(backCpu.server), agents: significant(backCpu.agents) },
    },
    notes: [
      `All agents run in ${AGENT_PROCESSES} processes on the machine of the server and its PostgreSQL: they compete for the same cores. So do the clients of the bare echo.`,
      'Each has its own key, certificate and mutual-TLS connection; those of a process share one journal, whose syncs are grouped, since they share a disk that real agents do not.',
      'bare: the mean of before and after, as a machine that others use as well is not always equally fast.',
      'fanout: from sending the request until an operator reads that the run has ended, every result committed; median of the rounds.',
      'latency: from sending the request; started by the agent’s clock, rounded up to a millisecond; durable until a watcher hears of it.',
      'memory: VmRSS of the server process, less what it was with no agent; PostgreSQL not counted. agent_mb: VmRSS of one real agent, idle.',
      'reconnect: from kill -9 of the server, its own start included, until the last agent has its Welcome; ratio to as many bare handshakes.',
    ],
  };
}

async function sayBare(agents: number): Promise<BareResult> {
  say(`bare grpc-js echo over ${agents} mutual-TLS streams`);
  const bare = await measureBare(agents);
  say(`bare: ${Math.round(bare.echoPerS)} echoes/s, ${bare.handshakeMs.toFixed(2)} ms per handshake`);
  return bare;
}

function meanOf(a: BareResult, b: BareResult): Omit<BareResult, 'rounds'> {
  const mean = (of: (bare: BareResult) => number) => (of(a) + of(b)) / 2;
  return {
    echoPerS: mean((bare) => bare.echoPerS),
    handshakeMs: mean((bare) => bare.handshakeMs),
    serverKbPerStream: mean((bare) => bare.serverKbPerStream),
  };
}

const nameOf = (i: number): string => `bench-${i}`;

/** Who uses the processor: tells what bounds a fan-out, also on a machine that others use. */
function cpuOfAll(server: TestServer, fleet: Fleets, dir: string) {
  const postgres = processesNaming(dir).filter((pid) => pid !== server.process.pid);
  return {
    server: cpuMs(server.process.pid),
    agents: fleet.cpuMs(),
    postgres: postgres.map(cpuMs).reduce((sum, ms) => sum + ms, 0),
  };
}

/** A process of its own, as deployed, connected and idle. */
async function realAgentMb(server: TestServer, dir: string): Promise<number> {
  const agent = await startAgent({ dir, server, name: 'real' });
  await packsHeld(server);
  await settle();
  const mb = (await rssKb(agent.process.pid)) / 1024;
  await agent.stop();
  await server.operator.deleteAgent('real');
  return mb;
}

async function enrol(server: TestServer, fleet: Fleets, dir: string, agents: number): Promise<void> {
  say(`enrolling ${agents} agents`);
  const names = Array.from({ length: agents }, (_, i) => nameOf(i));
  const tokens: string[] = [];
  for (let i = 0; i < agents; i += ENROLMENTS_AT_ONCE) {
    tokens.push(...(await Promise.all(names.slice(i, i + ENROLMENTS_AT_ONCE).map(() => server.operator.joinToken()))));
  }
  await fleet.start({
    dir: join(dir, 'fleet'),
    server: `localhost:${server.agentPort}`,
    caHash: server.caHash,
    agents: names.map((name, i) => ({ name, joinToken: tokens[i] ?? '' })),
    concurrency: ENROLMENTS_AT_ONCE,
  });
  await allConnected(server.operator, agents, 120_000);
  await packsHeld(server, 120_000);
  say(`${agents} agents are connected and hold the pack`);
}
