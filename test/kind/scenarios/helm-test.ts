import { expectSame, type Scenario, step } from '../scenario.ts';

export const helmTest: Scenario = {
  name: 'helm-test',
  title: 'helm test runs a real task on a real node, and leaves nothing behind',
  steps({ cluster, release }) {
    const { namespace } = release;
    let before: readonly string[] = [];
    return [
      step('install', async () => {
        await release.ensure();
        before = (await release.runs()).map(({ id }) => id);
      }),
      step('helm test passes, by a run on one node', async () => {
        await release.helm`test openline --timeout 120s`;
        const runs = (await release.runs()).filter(({ id }) => !before.includes(id));
        const found = runs.map(({ task, outcome, targetCount }) => `${task} ${outcome} ${targetCount}`);
        expectSame('runs', found, ['utility/ping succeeded 1']);
      }),
      step('it leaves nothing behind, and may be said again', async () => {
        await release.helm`test openline --timeout 120s`;
        const left = await cluster.names('pods,configmaps,serviceaccounts', '-n', namespace, '-l', COMPONENT);
        if (left.length > 0) throw new Error(`left: ${left.join(', ')}`);
      }),
    ];
  },
};

const COMPONENT = 'app.kubernetes.io/component=test';
