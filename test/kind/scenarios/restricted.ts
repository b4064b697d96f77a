import { createRelease } from '../release.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

const NAMESPACE = 'openline-restricted';

export const restricted: Scenario = {
  name: 'restricted',
  title: 'with emptyDir, server and agents run in a namespace of the restricted pod security standard',
  namespaces: [NAMESPACE],
  steps({ cluster, release: { tag } }) {
    const release = createRelease(cluster, { namespace: NAMESPACE, tag, journals: 'emptyDir' });
    return [
      step('a namespace that enforces the standard', async () => {
        const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
        await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } });
      }),
      step('install: every node has its agent', async () => {
        await release.apply({});
        await release.complete();
      }),
      step('the shipped tasks run', async () => {
        const tasks = ['linux/disk-usage', 'linux/busiest-processes', 'utility/environment'];
        for (const task of tasks) await release.openline`run ${task} --on all`;
      }),
      step('a pod that loses its emptyDir comes back as the agent of its node', async () => {
        const before = await release.ids();
        await cluster.kubectl`delete pods -n ${NAMESPACE} -l app.kubernetes.io/component=agent`;
        await cluster.kubectl`rollout status -n ${NAMESPACE} ds/openline-agent --timeout=120s`;
        await release.openline`run utility/ping --on all --offline wait`;
        await release.complete();
        expectSame('agents', await release.ids(), before);
      }),
    ];
  },
  async teardown({ cluster, release: { tag } }) {
    await createRelease(cluster, { namespace: NAMESPACE, tag, journals: 'emptyDir' }).remove();
  },
};
