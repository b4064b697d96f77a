// Many agents in one process, for the benchmark: each with the agent's own link, task engine and pack library, its own identity, certificate and
// mutual-TLS connection. They share one journal, whose syncs are grouped, because they share a disk that real agents do not.
import { obeyParent } from './child.ts';
import { createFleet, type Fleet, type FleetConfig } from './simulated-agents.ts';

export type FleetOrder = ({ readonly kind: 'start' } & FleetConfig) | { readonly kind: 'stop' };

export type FleetAnswer = { readonly kind: 'started'; readonly wallMs: number } | { readonly kind: 'stopped' };

let fleet: Fleet | undefined;

async function obey(order: FleetOrder): Promise<FleetAnswer> {
  switch (order.kind) {
    case 'start': {
      const startMs = performance.now();
      fleet = await createFleet(order);
      return { kind: 'started', wallMs: performance.now() - startMs };
    }
    case 'stop':
      await fleet?.stop();
      return { kind: 'stopped' };
    default:
      return order satisfies never;
  }
}

obeyParent(obey);
