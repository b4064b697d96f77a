import { expect } from 'vitest';
import {
  type Claim,
  claimsOf,
  eventually,
  markerDir,
  type Network,
  packsHeld,
  pushPacks,
  scratchDir,
  startAgent,
  startNetwork,
  startServer,
  type TestAgent,
  type TestServer,
  violations,
} from '../harness/index.ts';

/** Quick to notice, so that a test is quick: a dead peer is one after a second or so. */
const SERVER_FLAGS = ['--heartbeat-interval=400ms', '--offline-after=2500ms'];

export interface Member {
  readonly name: string;
  agent: TestAgent;
  readonly network: Network;
}

/** A server, some agents with a network of their own each, and the markers that tasks leave. */
export interface Fleet {
  server: TestServer;
  readonly members: readonly Member[];
  readonly markers: Awaited<ReturnType<typeof markerDir>>;
  /** Submits the marker task to everybody: it starts, leaves a marker, sleeps, leaves another. @returns the id of the run */
  mark(ms: number, options?: { targets?: string; timeoutMs?: number }): Promise<string>;
  /** Waits until the tasks themselves have said that so many of a run began. */
  untilStarted(runId: string, count: number): Promise<void>;
  /** Waits for the end of all runs, then holds what the server says against what the tasks wrote. */
  check(runIds: readonly string[], timeoutMs?: number): Promise<Claim[]>;
}

export async function startFleet(name: string, size: number, agentFlags: readonly string[] = []): Promise<Fleet> {
  const dir = scratchDir(name);
  const server = await startServer({ dir, flags: SERVER_FLAGS });
  await pushPacks(server);
  const members = await Promise.all(
    Array.from({ length: size }, async (_, i): Promise<Member> => {
      const network = await startNetwork(server.agentPort);
      const agent = await startAgent({ dir, server, name: `agent-${i}`, port: network.port, flags: agentFlags });
      return { name: agent.name, agent, network };
    }),
  );
  await packsHeld(server);
  const markers = await markerDir(dir);
  const fleet: Fleet = {
    server,
    members,
    markers,
    async mark(ms, options = {}) {
      const parameters = { dir: markers.dir, ms };
      return (await fleet.server.operator.submit('test/marker', { parameters, wait: true, ...options })).id;
    },
    async untilStarted(runId, count) {
      await eventually(async () => (await markers.starts()).filter((s) => s.runId === runId).length >= count, {
        what: `${count} starts of run ${runId}`,
      });
    },
    async check(runIds, timeoutMs = 60_000) {
      const claims: Claim[] = [];
      for (const runId of runIds) {
        await fleet.server.operator.ended(runId, timeoutMs);
        claims.push(...(await claimsOf(fleet.server.operator, runId)));
      }
      expect(violations(await markers.starts(), claims)).toEqual([]);
      expect(claims).toHaveLength(runIds.length * size);
      return claims;
    },
  };
  return fleet;
}

export const states = (claims: readonly Claim[]): string[] => [...new Set(claims.map(({ state }) => state))].sort();
