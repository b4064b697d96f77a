import type { AgentView } from '../../../cli/src/views/agent.ts';
import { eventually } from '../../harness/eventually.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

/** At once, for a busy machine. */
const ENDS_WITHIN_MS = 15_000;

export const nodeDeleted: Scenario = {
  name: 'node-deleted',
  title: 'a node that is deleted ends its agent at once; a node made anew under its name is another agent',
  steps(stage) {
    const { cluster, release } = stage;
    let node = '';
    let before = '';
    return [
      step('install', async () => {
        await release.ensure();
        const home = await release.home();
        node = (await cluster.workers()).find((name) => name !== home) ?? '';
        before = (await release.agents(`name=${node}`))[0]?.id ?? '';
      }),
      step('kubectl delete node: at once, its agent has no line and is none any more', async () => {
        await cluster.kubectl`delete node ${node} --wait=false`;
        await eventually(async () => (await release.agents(`name=${node}`)).length === 0, {
          what: `the end of the agent of ${node}`,
          timeoutMs: ENDS_WITHIN_MS,
          intervalMs: 500,
        });
        const all = await release.ask<readonly AgentView[]>`agents list --all`;
        const ends = all.filter(({ name }) => name === node).map(({ id, state }) => `${id} ${state}`);
        expectSame('agents of that name', ends, [`${before} revoked`]);
      }),
      step('there is nobody of that name to run a task on', async () => {
        const { code, stderr } = await release.attempt`run utility/ping --agent ${node}`;
        if (code !== 2) throw new Error(`a run on it ended with exit code ${code}: ${stderr}`);
      }),
      step('the kubelet makes the node anew: another agent, of the same name', async () => {
        await makeNode(stage, node);
        await release.complete();
        const [after] = await release.agents(`name=${node}`);
        if (after?.id === before) throw new Error('it is the same agent');
      }),
      step('tasks run there', async () => {
        await release.openline`run linux/disk-usage --agent ${node}`;
      }),
    ];
  },
  async teardown(stage) {
    const { cluster } = stage;
    const names = (await cluster.commands.run('kind', ['get', 'nodes', '--name', cluster.name])).trim().split('\n');
    const there = await cluster.nodes();
    for (const name of names.filter((each) => !there.includes(each))) await makeNode(stage, name);
  },
};

/** A kubelet makes its node when it starts. */
async function makeNode({ cluster, release }: Stage, node: string): Promise<void> {
  await cluster.onNode(node)`systemctl restart kubelet`;
  await cluster.kubectl`wait --for=create node/${node} --timeout=120s`;
  await cluster.kubectl`wait --for=condition=Ready node/${node} --timeout=120s`;
  // The new node has other addresses than the old one. Pods of before cannot be reached: first those of the network go, then ours.
  for (const namespace of ['kube-system', release.namespace]) {
    await cluster.kubectl`delete pods -n ${namespace} --field-selector spec.nodeName=${node} --force --grace-period=0`;
    for (const name of await cluster.names('daemonsets', '-n', namespace)) {
      await cluster.kubectl`rollout status -n ${namespace} daemonset/${name} --timeout=120s`;
    }
  }
}
