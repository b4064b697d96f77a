import type { Cluster } from '../cluster.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

/** They come and go by themselves, whatever is installed. */
const PASSING = ['events', 'leases', 'endpointslices', 'endpoints', 'pods', 'replicasets', 'componentstatuses'];

export const uninstall: Scenario = {
  name: 'uninstall',
  title: 'helm uninstall leaves what docs/kubernetes.md says, and nothing else',
  steps({ cluster, release }) {
    const { namespace } = release;
    let before: string[] = [];
    const added = async (): Promise<string[]> =>
      (await everything(cluster)).filter((object) => !before.includes(object));
    return [
      step('install', async () => {
        await release.remove();
        await cluster.kubectl`create namespace ${namespace}`;
        await cluster.kubectl`wait -n ${namespace} --for=create serviceaccount/default configmap/kube-root-ca.crt`;
        before = await everything(cluster);
        await release.apply({});
        await release.complete();
        await release.openline`run utility/ping --on all`;
      }),
      step('helm uninstall --wait leaves the volume, and no other object of any kind', async () => {
        await release.helm`uninstall openline --wait --timeout 120s`;
        release.forget();
        await cluster.kubectl`wait -n ${namespace} --for=delete pod --all --timeout=120s`;
        const left = (await added()).map((object) => object.replace(/\bpvc-.*/, 'pvc-…'));
        const claim = `persistentvolumeclaims ${namespace}/data-openline-server-0`;
        expectSame('left', left, [claim, 'persistentvolumes pvc-…']);
      }),
      step('on every node it leaves /var/lib/openline/agent', async () => {
        for (const node of await cluster.nodes()) {
          const found = await cluster.onNode(node)`find /var/lib /etc /opt -xdev -maxdepth 2 -name *openline*`;
          expectSame(`on ${node}`, found.trim().split('\n'), ['/var/lib/openline']);
        }
      }),
      step('kubectl delete of the claim, and rm of the directory: nothing is left', async () => {
        await cluster.kubectl`delete pvc -n ${namespace} data-openline-server-0 --timeout=60s`;
        await cluster.kubectl`wait --for=delete pv --all --timeout=60s`;
        for (const node of await cluster.nodes()) await cluster.onNode(node)`rm -r /var/lib/openline`;
        expectSame('left', await added(), []);
      }),
    ];
  },
};

/** Every object of the cluster, as `kind namespace/name`. */
async function everything({ kubectl }: Cluster): Promise<string[]> {
  const resources = (await kubectl`api-resources --verbs=list -o name`).trim().split('\n');
  const template = '{{range .items}}{{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}}{{"\\n"}}{{end}}';
  const found: string[] = [];
  for (const resource of resources.filter((name) => !PASSING.includes(name.split('.')[0] ?? ''))) {
    const names = await kubectl`get ${resource} --all-namespaces -o go-template=${template}`;
    found.push(...names.split('\n').flatMap((name) => (name === '' ? [] : [`${resource} ${name}`])));
  }
  return found;
}
