// The simulated agents of the benchmark, spread over some processes.
import { join } from 'node:path';
import { type Child, startChild } from './child.ts';
import type { FleetAnswer, FleetOrder } from './fleet.ts';
import { cpuMs } from './process-usage.ts';
import type { FleetConfig } from './simulated-agents.ts';

/**
 * One process reads all that came for its agents before it lets any of them answer, which a fleet of machines does not. With a few, some answer
 * while others read. The clients of the bare echo are spread over as many.
 */
export const AGENT_PROCESSES = 2;

export interface Fleets extends AsyncDisposable {
  /** Enrols and starts all of them. */
  start(config: FleetConfig): Promise<void>;
  /** Processor time of all, milliseconds. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export function startFleets(): Fleets {
  const fleets: Child<FleetOrder, FleetAnswer>[] = Array.from({ length: AGENT_PROCESSES }, () =>
    startChild(join(import.meta.dirname, 'fleet.ts')),
  );
  return {
    async start(config) {
      await Promise.all(
        fleets.map((fleet, at) =>
          fleet.ask({
            kind: 'start',
            ...config,
            dir: join(config.dir, String(at)),
            agents: config.agents.filter((_, i) => i % AGENT_PROCESSES === at),
            concurrency: Math.ceil(config.concurrency / AGENT_PROCESSES),
          }),
        ),
      );
    },
    cpuMs: () => fleets.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
    async stop() {
      await Promise.all(fleets.map((fleet) => fleet.ask({ kind: 'stop' })));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(fleets.map((fleet) => fleet[Symbol.asyncDispose]()));
    },
  };
}
