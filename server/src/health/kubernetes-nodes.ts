import * as z from 'zod';
import { ApiRefused, type ClusterApi } from '../kubernetes/cluster-api.ts';
import type { NodeReader } from './probes.ts';

/** The Ready condition of nodes (needs `get` on `nodes`). @returns undefined outside of a cluster */
export function kubernetesNodes(api: ClusterApi | undefined): NodeReader | undefined {
  if (api === undefined) return undefined;
  return {
    async read(name) {
      try {
        const ready = readyOf(await api.get(`/api/v1/nodes/${encodeURIComponent(name)}`));
        if (ready === undefined) return { state: 'skipped', note: `node ${name} has no Ready condition` };
        return ready === 'True'
          ? { state: 'ready', note: `node ${name} is ready` }
          : { state: 'not-ready', note: `node ${name} is not ready (${ready})` };
      } catch (error) {
        if (error instanceof ApiRefused)
          return error.status === 404
            ? { state: 'absent', note: `there is no node ${name} any more` }
            : { state: 'skipped', note: `the API answered ${error.status}` };
        const why = error instanceof Error ? error.message : 'unknown';
        return { state: 'skipped', note: `the API could not be asked (${why})` };
      }
    },
  };
}

const Node = z.object({
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })) }),
});

/** @returns "True", "False" or "Unknown" */
function readyOf(node: unknown): string | undefined {
  const parsed = Node.safeParse(node);
  return parsed.data?.status.conditions.find(({ type }) => type === 'Ready')?.status;
}
