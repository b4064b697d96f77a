import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { Schema } from '../../db/schema.ts';
import type { ClusterNode } from '../../kubernetes/node-directory.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { pinnedLabels } from './node-enrollment.ts';

export interface ClusterAgentsDeps {
  readonly db: Kysely<Schema>;
  readonly cluster: string;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Pick<Logger, 'error'>;
  /** By UID, as they are now; undefined: not known yet. */
  nodes(): ReadonlyMap<string, ClusterNode> | undefined;
  /** Asks the cluster itself: an agent may have enrolled before its node was heard of here. */
  isGone(name: string, uid: string): Promise<boolean>;
  revoke(agentId: string, why: string): Promise<unknown>;
  /** Its labels are committed. */
  labelled(agentId: string, labels: Readonly<Record<string, string>>): void;
}

export interface ClusterAgents {
  /** Nodes have changed. */
  wake(): void;
  stop(): void;
}

const RETRY_MS = 5_000;

/** Agents follow the nodes of their cluster: they have their labels, and end with them. What fails is done again until it is so. */
export function createClusterAgents(deps: ClusterAgentsDeps): ClusterAgents {
  const { db, cluster, clock, log } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  let again = false;
  let running = false;

  async function reconcile(nodes: ReadonlyMap<string, ClusterNode>): Promise<void> {
    const agents = await db
      .selectFrom('agents')
      .select(['id', 'name', 'node_uid', 'pinned_labels'])
      .where('cluster', '=', cluster)
      .where('revoked_at', 'is', null)
      .execute();
    for (const { id, name, node_uid: uid, pinned_labels: known } of agents) {
      const node = nodes.get(uid);
      if (node === undefined) {
        if (await deps.isGone(name, uid)) await deps.revoke(id, `the node ${name} was deleted`);
        continue;
      }
      const labels = pinnedLabels(node.labels, cluster);
      if (sameLabels(labels, known)) continue;
      await db
        .updateTable('agents')
        .set({ pinned_labels: JSON.stringify(labels) })
        .where('id', '=', id)
        .execute();
      deps.labelled(id, labels);
    }
  }

  async function run(): Promise<void> {
    let failing = false;
    while (again && !signal.aborted) {
      again = false;
      try {
        const nodes = deps.nodes();
        if (nodes !== undefined) await reconcile(nodes);
        failing = false;
      } catch (error) {
        if (!failing) log.error({ err: error }, 'agents do not follow their nodes at present; it is tried again');
        failing = true;
        again = true;
        await clock.sleep(RETRY_MS, signal);
      }
    }
    running = false;
  }

  return {
    wake() {
      again = true;
      if (running) return;
      running = true;
      void run();
    },
    stop: () => stopping.abort(),
  };
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
