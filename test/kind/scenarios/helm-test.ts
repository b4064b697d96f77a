import { type Scenario, step } from '../scenario.ts';

export const helmTest: Scenario = {
  name: 'helm-test',
  title: 'helm test runs a real task on a real node, and leaves nothing behind',
  steps({ cluster, release }) {
    const { namespace } = release;
    return [
      step('install', () => release.ensure()),
      step('helm test passes, and shows the run', async () => {
        const said = await release.helm`test openline --logs --timeout 120s`;
        if (!/\bsucceeded\b/.test(said)) throw new Error(`it does not show the run:\n${said}`);
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
