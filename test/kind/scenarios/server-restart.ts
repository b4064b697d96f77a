import { beginEverywhere, expectEnds, expectStartedOnce } from '../markers.ts';
import { expectSame, type Scenario, type Stage, type Step, step } from '../scenario.ts';

export const serverRestart: Scenario = {
  name: 'server-restart',
  title: 'a server that is killed in a run loses nothing, and nothing runs twice',
  steps(stage) {
    const { cluster, release } = stage;
    return [
      step('install', () => release.ensure()),
      ...killed(stage, 'pod', 'kubectl delete pod --force', async () => {
        await cluster.kubectl`delete pod -n ${release.namespace} openline-server-0 --force --grace-period=0`;
      }),
      ...killed(stage, 'process', 'kill -9', async () => {
        await cluster.onNode(await release.home())`pkill -KILL -f ${'openline server --config'}`;
      }),
    ];
  },
};

function killed(stage: Stage, marker: string, how: string, kill: () => Promise<void>): readonly Step[] {
  const { release } = stage;
  let run = '';
  let before: readonly string[] = [];
  return [
    step(`a run is under way on every node, and the server is killed: ${how}`, async () => {
      before = await release.ids();
      run = await beginEverywhere(stage, marker, 'sleep 20');
      await kill();
    }),
    step('a new one has the run, and every result comes', async () => {
      await expectEnds(stage, await release.ended(run), 'succeeded');
    }),
    step('nothing was started twice; the agents are those they were', async () => {
      await expectStartedOnce(stage, marker);
      expectSame('agents', await release.ids(), before);
    }),
  ];
}
