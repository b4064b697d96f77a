import { expectEnds } from '../markers.ts';
import { type Scenario, type Stage, step } from '../scenario.ts';

export const drain: Scenario = {
  name: 'drain',
  title: 'a node that is drained keeps its agent; a server whose node is drained comes back with everything',
  steps(stage) {
    const { cluster, release } = stage;
    let home = '';
    let run = '';
    const begin = (): Promise<string> => release.begin`utility/sleep --on all --param seconds=20`;
    return [
      step('install', async () => {
        await release.ensure();
        home = await release.home();
      }),
      step('kubectl drain of a worker in a run: its agent stays, and the run ends as it should', async () => {
        const [other = ''] = (await cluster.workers()).filter((node) => node !== home);
        run = await begin();
        await drainNode(stage, other);
        await expectEnds(stage, await release.ended(run), 'succeeded');
        await cluster.kubectl`uncordon ${other}`;
      }),
      step('kubectl drain of the node of the server in a run: nothing keeps it there', async () => {
        run = await begin();
        await drainNode(stage, home);
        const [pod] = await release.pods('server');
        // Its volume is of that node, so it waits for it; a volume that can move would let it move.
        if (pod?.status.phase !== 'Pending') throw new Error(`the pod of the server is ${pod?.status.phase}`);
      }),
      step('kubectl uncordon: the server comes back, and gets the result of every node', async () => {
        await cluster.kubectl`uncordon ${home}`;
        await cluster.kubectl`rollout status -n ${release.namespace} sts/openline-server --timeout=120s`;
        await expectEnds(stage, await release.ended(run), 'succeeded');
        await release.complete();
      }),
    ];
  },
  async teardown({ cluster }) {
    for (const node of await cluster.workers()) await cluster.kubectl`uncordon ${node}`;
  },
};

async function drainNode({ cluster }: Stage, node: string): Promise<void> {
  await cluster.kubectl`drain ${node} --ignore-daemonsets --delete-emptydir-data --force --timeout=120s`;
}
