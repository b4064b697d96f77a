import { beginEverywhere, expectAtMostOnce, expectEnds, expectStartedOnce, marking, started } from '../markers.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

export const agentsRestart: Scenario = {
  name: 'agents-restart',
  title: 'a DaemonSet that is restarted in a run: what ran ends and is never run again, what waits runs then',
  steps(stage) {
    const { cluster, release } = stage;
    const { namespace } = release;
    let before: readonly string[] = [];
    let waiting = '';
    let run = '';
    return [
      step('install', async () => {
        await release.ensure();
        before = await release.ids();
      }),
      step('a run is under way on every node; kubectl rollout restart; another run waits for who is away', async () => {
        run = await beginEverywhere(stage, 'restarted', 'sleep 300');
        await cluster.kubectl`rollout restart -n ${namespace} ds/openline-agent`;
        waiting = await release.begin`utility/shell --on all --offline wait ${marking('waiting')}`;
        await cluster.kubectl`rollout status -n ${namespace} ds/openline-agent --timeout=180s`;
      }),
      step('what ran ended with its agent, as failed: AGENT_STOPPED', async () => {
        await expectEnds(stage, await release.ended(run), 'failed AGENT_STOPPED');
        await expectStartedOnce(stage, 'restarted');
      }),
      step('what waited was started at most once on each node, and has its result, or AGENT_STOPPED', async () => {
        const document = await release.ended(waiting);
        expectAtMostOnce(await started(stage), 'waiting', document);
      }),
      step(
        'agents are killed in a run (kill -9): what became of it nobody knows, so it is lost, not run again',
        async () => {
          run = await beginEverywhere(stage, 'killed', 'sleep 300');
          for (const node of await cluster.nodes()) await cluster.onNode(node)`pkill -KILL -f /opt/openline/agent.mjs`;
          await expectEnds(stage, await release.ended(run), 'lost AGENT_RESTARTED');
          await release.complete();
          await expectStartedOnce(stage, 'killed');
        },
      ),
      step('the agents are those they were: an identity follows its node', async () => {
        expectSame('agents', await release.ids(), before);
      }),
    ];
  },
};
