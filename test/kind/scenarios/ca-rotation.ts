import type { AuthorityView } from '../../../cli/src/views/authority.ts';
import { eventually } from '../../harness/eventually.ts';
import { expectEnds } from '../markers.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

export const caRotation: Scenario = {
  name: 'ca-rotation',
  title:
    'the authority is replaced while everything runs: no link is lost, and whoever starts meanwhile knows the server',
  steps(stage) {
    const { cluster, release } = stage;
    let links: readonly string[] = [];
    let before = '';
    return [
      step('install', async () => {
        await release.ensure();
        links = await release.links();
        before = (await release.ask<AuthorityView>`ca status`).hash;
      }),
      step('openline ca rotate --wait in a run: every agent holds the new one, on the link that it had', async () => {
        const run = await release.begin`utility/sleep --on all --param seconds=15`;
        await release.openline`ca rotate --wait --timeout 50s`;
        await expectEnds(stage, await release.ended(run), 'succeeded');
        expectSame('links', await release.links(), links);
        const { hash } = await release.ask<AuthorityView>`ca status`;
        if (hash === before) throw new Error('it is the same authority');
      }),
      step('the cluster is told of both; an agent that starts now is the one it was', async () => {
        await publishes(stage, 2);
        await release.restartAgents();
      }),
      step('openline ca end: only the new one is left, and agents start with that', async () => {
        await release.openline`ca end`;
        await publishes(stage, 1);
        await release.restartAgents();
        await release.openline`run linux/disk-usage --on all`;
        expectSame(
          'nodes',
          await cluster.nodes(),
          (await release.agents()).map(({ name }) => name),
        );
      }),
    ];
  },
};

async function publishes({ cluster, release }: Stage, count: number): Promise<void> {
  const holds = async (): Promise<boolean> => {
    const text = await cluster.kubectl`get configmap -n ${release.namespace} openline-ca -o jsonpath={.data.ca\\.crt}`;
    return text.split('BEGIN CERTIFICATE').length === count + 1;
  };
  await eventually(holds, { what: `${count} certificates in the ConfigMap`, timeoutMs: 30_000, intervalMs: 500 });
}
