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
        links = await linksOf(stage);
        before = (await release.ask<AuthorityView>`ca status`).hash;
      }),
      step('openline ca rotate --wait in a run: every agent holds the new one, on the link that it had', async () => {
        const run = await release.begin`utility/sleep --on all --param seconds=15`;
        await release.openline`ca rotate --wait --timeout 50s`;
        await expectEnds(stage, await release.ended(run), 'succeeded');
        expectSame('links', await linksOf(stage), links);
        const { hash } = await release.ask<AuthorityView>`ca status`;
        if (hash === before) throw new Error('it is the same authority');
      }),
      step('the cluster is told of both; an agent that starts now is the one it was', async () => {
        await publishes(stage, 2);
        await restartAgents(stage);
      }),
      step('openline ca end: only the new one is left, and agents start with that', async () => {
        await release.openline`ca end`;
        await publishes(stage, 1);
        await restartAgents(stage);
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

/** Who is connected, and since when: a link that was lost has another epoch. */
async function linksOf({ release }: Stage): Promise<string[]> {
  return (await release.agents()).map(({ name, id, sessionEpoch }) => `${name} ${id} ${sessionEpoch}`);
}

async function publishes({ cluster, release }: Stage, count: number): Promise<void> {
  const holds = async (): Promise<boolean> => {
    const text = await cluster.kubectl`get configmap -n ${release.namespace} openline-ca -o jsonpath={.data.ca\\.crt}`;
    return text.split('BEGIN CERTIFICATE').length === count + 1;
  };
  await eventually(holds, { what: `${count} certificates in the ConfigMap`, timeoutMs: 30_000, intervalMs: 500 });
}

async function restartAgents({ cluster, release }: Stage): Promise<void> {
  const ids = await release.ids();
  await cluster.kubectl`delete pods -n ${release.namespace} -l app.kubernetes.io/component=agent`;
  await cluster.kubectl`rollout status -n ${release.namespace} ds/openline-agent --timeout=120s`;
  await release.complete();
  expectSame('agents', await release.ids(), ids);
}
