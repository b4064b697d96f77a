import type { RunDocument } from '../../../cli/src/views/run.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

export const hostAccess: Scenario = {
  name: 'host-access',
  title: 'agent.hostAccess: what tasks see of a node, from nothing to everything; each result says it',
  steps(stage) {
    const { cluster, release } = stage;
    let before: readonly string[] = [];
    return [
      step('install', async () => {
        await release.ensure();
        before = await release.ids();
      }),
      step('none: a task sees its pod, and no process of the node', async () => {
        await expectRun(stage, 'container', await shell(stage, '! pgrep kubelet'));
      }),
      step('read: a shipped task reports the kubelet of each node; nobody can write to the node', async () => {
        await release.ensure({ agent: { hostAccess: 'read' } });
        await expectRun(stage, 'host-read', await release.begin`linux/process-status --on all --param name=kubelet`);
        await expectRun(
          stage,
          'host-read',
          await shell(stage, 'grep -q . /host/etc/hostname && ! touch /host/etc/mine'),
        );
      }),
      step('full: a task is root in the namespaces of its node', async () => {
        await release.ensure({ agent: { hostAccess: 'full' } });
        const run = await shell(stage, 'test "$(id -u)" = 0 && systemctl is-active kubelet && uname -n');
        const { dispatches } = await expectRun(stage, 'host', run);
        const said = dispatches.map(({ agent, stdout = '' }) => `${agent}: ${stdout.trim().split('\n').join(' ')}`);
        expectSame(
          'said',
          said,
          (await cluster.nodes()).map((node) => `${node}: active ${node}`),
        );
      }),
      step('full: a program that a node does not have is named, and its task did not start', async () => {
        const [node = ''] = await cluster.workers();
        const onNode = cluster.onNode(node);
        await onNode`mv /usr/bin/bash /usr/bin/bash.away`;
        try {
          const { dispatches } = await release.ended(await release.begin`linux/disk-usage --agent ${node}`);
          const ends = dispatches.map(({ state, reasonCode, reason }) => `${state} ${reasonCode}: ${reason}`);
          expectSame('ends', ends, ['failed SPAWN_FAILED: /usr/bin/bash is not there on the host']);
        } finally {
          await onNode`mv /usr/bin/bash.away /usr/bin/bash`;
        }
      }),
      step('back to none: the agents are those they were, and write their journals', async () => {
        await release.ensure();
        await expectRun(stage, 'container', await shell(stage, 'test "$(id -u)" != 0'));
        expectSame('agents', await release.ids(), before);
      }),
    ];
  },
};

function shell({ release }: Stage, script: string): Promise<string> {
  return release.begin`utility/shell --on all --param ${`script=${script}`}`;
}

/** It succeeds on every node, and saw this much. */
async function expectRun({ cluster, release }: Stage, view: string, run: string): Promise<RunDocument> {
  const document = await release.ended(run);
  const found = document.dispatches.map((dispatch) => `${dispatch.agent} ${dispatch.state}, saw ${dispatch.view}`);
  expectSame(
    `ends of ${document.task}`,
    found,
    (await cluster.nodes()).map((node) => `${node} succeeded, saw ${view}`),
  );
  return document;
}
