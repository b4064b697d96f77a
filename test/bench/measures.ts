// What the benchmark measures of a running server with N connected agents. Every function says what it counts from and to.
import { RunServiceService } from '@openline/proto/operator';
import { eventually } from '../harness/eventually.ts';
import { type Operator, stateName } from '../harness/operator.ts';
import type { TestServer } from '../harness/server.ts';
import { quantile } from './statistics.ts';

/** The no-op: the agent journals, accepts, starts, ends and reports it as any task, and starts no process. */
const NO_OP = 'utility/ping';
/** How often the end of a fan-out is looked for. Seldom: looking counts open dispatches in the database. */
const POLL_MS = 50;

/** Unix time with fractions of a millisecond, to compare with the clocks of other processes on this machine. */
const unixMs = (): number => performance.timeOrigin + performance.now();

/**
 * From the moment the request is sent to the moment that the server wrote as the run's end, which is after the last result was committed.
 * @returns milliseconds
 */
export async function fanOutMs(operator: Operator, agents: number): Promise<number> {
  const sentUnixMs = unixMs();
  const { id } = await operator.submit(NO_OP);
  const { counts, endedUnixMs } = await eventually(
    async () => {
      const { runs } = await operator.unary(RunServiceService.listRuns, {
        limit: 1,
        pageToken: '',
        openOnly: false,
        task: '',
      });
      const run = runs.find((candidate) => candidate.id === id);
      return run !== undefined && run.endedUnixMs > 0n && run;
    },
    { what: `a run on ${agents} agents to end`, intervalMs: POLL_MS, timeoutMs: 120_000 },
  );
  const told = counts.map(({ state, count }) => `${count} ${stateName(state)}`).join(', ');
  if (told !== `${agents} succeeded`) throw new Error(`a fan-out to ${agents} agents ended with ${told}`);
  // Whole milliseconds, rounded up.
  return Number(endedUnixMs) + 1 - sentUnixMs;
}

export interface SingleTask {
  /** From sending the request to its answer: the run is committed. */
  readonly acceptedMs: number;
  /** From sending the request to the start at the agent, by the agent's clock on the same machine, whose whole milliseconds are rounded up. */
  readonly startedMs: number;
  /** From sending the request until a watcher hears that it has ended: the result is committed. */
  readonly durableMs: number;
}

/** One no-op on one agent while all others stay connected. */
export async function singleTask(operator: Operator, agentName: string): Promise<SingleTask> {
  const sentUnixMs = unixMs();
  const { id } = await operator.submit(NO_OP, { targets: `name=${agentName}` });
  const acceptedMs = unixMs() - sentUnixMs;
  for await (const { run, dispatches } of operator.watch(id)) {
    if (run === undefined || run.endedUnixMs === 0n) continue;
    const durableMs = unixMs() - sentUnixMs;
    const last = dispatches[0] ?? (await operator.getRun(id)).dispatches[0];
    if (last === undefined || stateName(last.state) !== 'succeeded')
      throw new Error(`a single task on ${agentName} did not succeed`);
    return { acceptedMs, startedMs: Number(last.startedUnixMs) + 1 - sentUnixMs, durableMs };
  }
  throw new Error('the watch ended before the run');
}

export function summary(values: readonly number[]): { p50: number; p99: number } {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}

/**
 * Kills the server (-9), starts it again on its ports, and waits until all agents are connected.
 * @returns milliseconds from the kill, and from the moment the new server answered operators
 */
export async function reconnectMs(
  server: TestServer,
  agents: number,
): Promise<{ server: TestServer; fromKillMs: number; fromReadyMs: number }> {
  const killedMs = performance.now();
  await server.kill9();
  const next = await server.restart();
  const readyMs = performance.now();
  await allConnected(next.operator, agents, 300_000);
  const endMs = performance.now();
  return { server: next, fromKillMs: endMs - killedMs, fromReadyMs: endMs - readyMs };
}

/** By the server's own count of open links, each with its Welcome. */
export async function allConnected(operator: Operator, agents: number, timeoutMs: number): Promise<void> {
  await eventually(async () => (await operator.whoAmI()).agentsConnected >= agents, {
    what: `${agents} agents to be connected`,
    intervalMs: 20,
    timeoutMs,
  });
}
