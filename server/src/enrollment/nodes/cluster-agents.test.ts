import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { withTestDatabase } from '../../db/testing.ts';
import type { ClusterNode } from '../../kubernetes/node-directory.ts';
import { createClusterAgents } from './cluster-agents.ts';

const db = withTestDatabase();
// Before the database goes: who is refused by one that is gone would try for ever.
let stop = () => {};
afterEach(() => stop());

/** Agents of the nodes a, b, c of this cluster and of d of another one; uids are the names in capitals. */
async function setUp() {
  for (const [name, cluster] of [
    ['a', 'local'],
    ['b', 'local'],
    ['c', 'local'],
    ['d', 'edge'],
  ] as const)
    await db.pool.query(
      `insert into agents (id, name, enrolled_with, labels, facts, pinned_labels, cluster, node_uid)
       values ($1, $1, 'node', '{}', '{}', '{}', $2, $3)`,
      [name, cluster, name.toUpperCase()],
    );
  const nodes = new Map<string, ClusterNode>();
  const asked: string[] = [];
  const revoked: string[] = [];
  const errors: object[] = [];
  const existing = new Set<string>();
  const failures: Error[] = [];
  const labelled: string[] = [];
  const agents = createClusterAgents({
    db: db.kysely,
    cluster: 'local',
    clock: { sleep: () => turn() },
    log: { error: (fields: object) => errors.push(fields) },
    nodes: () => nodes,
    async isGone(name, uid) {
      asked.push(`${name}/${uid}`);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return !existing.has(name);
    },
    labelled: (id, { zone }) => void labelled.push(`${id} is in ${zone}`),
    async revoke(id, why) {
      revoked.push(why);
      await db.pool.query('update agents set revoked_at = now() where id = $1', [id]);
    },
  });
  stop = agents.stop;
  const set = (name: string, labels: Record<string, string> = {}) =>
    nodes.set(name.toUpperCase(), { uid: name.toUpperCase(), name, labels });
  const labelsOf = async (name: string) =>
    (await db.pool.query('select pinned_labels from agents where id = $1', [name])).rows[0]?.pinned_labels;
  return { agents, nodes, set, existing, asked, revoked, errors, failures, labelled, labelsOf };
}

describe('agents of a cluster', () => {
  it('have the labels of their nodes as these are now', async () => {
    const s = await setUp();
    for (const name of ['a', 'b', 'c']) s.set(name, { zone: name });
    s.agents.wake();
    await expect.poll(() => s.labelsOf('c')).toEqual({ zone: 'c', 'openline.dev/cluster': 'local' });
    s.set('c', {});
    s.agents.wake();
    await expect.poll(() => s.labelsOf('c')).toEqual({ 'openline.dev/cluster': 'local' });
    expect(await s.labelsOf('d')).toEqual({});
    // Once for each change.
    expect(s.labelled).toEqual(['a is in a', 'b is in b', 'c is in c', 'c is in undefined']);
    expect(s.revoked).toEqual([]);
  });

  it('end with their nodes, and those of other clusters do not', async () => {
    const s = await setUp();
    s.set('c');
    s.agents.wake();
    await expect.poll(() => s.revoked).toEqual(['the node a was deleted', 'the node b was deleted']);
    s.nodes.delete('C');
    s.agents.wake();
    await expect.poll(() => s.revoked).toHaveLength(3);
    expect(s.asked).toEqual(['a/A', 'b/B', 'c/C']);
  });

  it('stay when the cluster knows their node, though it was not heard of here yet', async () => {
    const s = await setUp();
    for (const name of ['a', 'b', 'c']) s.existing.add(name);
    s.agents.wake();
    await expect.poll(() => s.asked).toHaveLength(3);
    expect(s.revoked).toEqual([]);
  });

  it('are followed until it is done, and a failure is told once', async () => {
    const s = await setUp();
    s.set('b');
    s.set('c');
    s.failures.push(new Error('away'), new Error('away'));
    s.agents.wake();
    await expect.poll(() => s.revoked).toEqual(['the node a was deleted']);
    expect(s.errors).toHaveLength(1);
  });
});
