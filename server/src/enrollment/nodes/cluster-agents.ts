import type { Kysely } from 'kysely';
import type { Schema } from '../../db/schema.ts';
import type { ClusterNode } from '../../kubernetes/node-directory.ts';
import { CLUSTER_LABEL } from './node-enrollment.ts';
import { agentIdOfNode } from './node-identity.ts';

export interface ClusterAgentsDeps {
  readonly db: Kysely<Schema>;
  readonly cluster: string;
  revoke(agentId: string, why: string): Promise<unknown>;
}

/** What becomes of a cluster's agents when its nodes change: their labels follow, and who was deleted ends. */
export function createClusterAgents({ db, cluster, revoke }: ClusterAgentsDeps) {
  const living = () =>
    db
      .selectFrom('agents')
      .select(['id', 'name', 'node_uid', 'pinned_labels'])
      .where('cluster', '=', cluster)
      .where('revoked_at', 'is', null)
      .where('node_uid', '<>', '');

  async function label({ uid, labels }: ClusterNode): Promise<void> {
    await db
      .updateTable('agents')
      .set({ pinned_labels: JSON.stringify({ ...labels, [CLUSTER_LABEL]: cluster }) })
      .where('id', '=', agentIdOfNode(cluster, uid))
      .execute();
  }

  async function end({ uid, name }: ClusterNode): Promise<void> {
    const agent = await living().where('node_uid', '=', uid).executeTakeFirst();
    if (agent !== undefined) await revoke(agent.id, `the node ${name} was deleted`);
  }

  return {
    /** @param nodes all that there are */
    async listed(nodes: ReadonlyMap<string, ClusterNode>): Promise<void> {
      for (const agent of await living().execute()) {
        const node = nodes.get(agent.node_uid);
        if (node === undefined) await revoke(agent.id, `the node ${agent.name} was deleted`);
        else await label(node);
      }
    },
    changed: label,
    deleted: end,
  };
}
