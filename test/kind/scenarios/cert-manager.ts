import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import type { AuthorityView } from '../../../cli/src/views/authority.ts';
import { makeAuthority, type TestAuthority } from '../../../server/src/enrollment/testing/authorities.ts';
import { eventually } from '../../harness/eventually.ts';
import type { Cluster, KubeObject } from '../cluster.ts';
import { defineKinds, removeKinds } from '../custom-kinds.ts';
import { expectEnds } from '../markers.ts';
import { createRelease, journalsOf } from '../release.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

const NAMESPACE = 'openline-cert-manager';
const KINDS = [{ kind: 'Certificate', plural: 'certificates', group: 'cert-manager.io' }];
const ROOT = 'Company root';

interface Certificate extends KubeObject {
  readonly spec: { readonly secretName: string; readonly commonName: string; readonly isCA: boolean };
}

export const certManager: Scenario = {
  name: 'cert-manager',
  title: 'an authority of cert-manager, below a root of one’s own: the server takes it, and follows its renewal',
  namespaces: [NAMESPACE],
  steps(stage) {
    const { cluster } = stage;
    const release = ofNamespace(stage);
    let root: TestAuthority;
    let links: readonly string[] = [];
    let before = '';
    const status = (): Promise<AuthorityView> => release.ask<AuthorityView>`ca status`;
    return [
      step('beside another release, install with tls.mode=certManager: it asks for a Certificate', async () => {
        await stage.release.ensure();
        links = await stage.release.links();
        root = await makeAuthority(ROOT, Date.now());
        await defineKinds(cluster, KINDS);
        const installed = release.apply({});
        await Promise.race([installed, eventually(() => issue(cluster, root), { what: 'the Certificate' })]);
        await installed;
        await release.complete();
      }),
      step('the authority is that of the Secret; its root is what the cluster is told', async () => {
        const { hash, givenFrom } = await status();
        before = hash;
        expectSame('given from', [`${givenFrom}`], ['/etc/openline-ca']);
        const published = ['get', 'configmap', '-n', NAMESPACE, 'openline-ca', '-o', 'jsonpath={.data.ca\\.crt}'];
        expectSame('ca.crt', [(await cluster.kubectl`${published}`).trim()], [root.caPem.trim()]);
        await release.openline`run linux/disk-usage --on all`;
      }),
      step('on the nodes, each release has its own journals, and nobody of the other lost its link', async () => {
        for (const node of await cluster.nodes())
          for (const namespace of [NAMESPACE, stage.release.namespace])
            await cluster.onNode(node)`test -s ${journalsOf(namespace)}/journal/journal.log`;
        expectSame('links of the other release', await stage.release.links(), links);
      }),
      step('renewed in a run: every agent has a certificate of the new one, on the link that it had', async () => {
        links = await release.links();
        const run = await release.begin`utility/sleep --on all --param seconds=25`;
        const renewed = await issue(cluster, root);
        // At a change of its pod the kubelet looks for changes of its Secrets, which it else does about once a minute.
        await cluster.kubectl`annotate pod -n ${NAMESPACE} openline-server-0 openline.example/renewed=true`;
        const isHeld = async (): Promise<boolean> => {
          const { hash, overlap } = await status();
          return hash !== before && overlap?.behindCount === 0;
        };
        await eventually(isHeld, { what: 'every agent to hold the new one', timeoutMs: 120_000, intervalMs: 500 });
        await expectEnds(stage, await release.ended(run), 'succeeded');
        expectSame('links', await release.links(), links);
        const certificate = await shown(cluster, root);
        if (!certificate.verify(new X509Certificate(renewed.caPem).publicKey))
          throw new Error('the certificate of the server is not of the new authority');
      }),
      step('agents that start now know the server, also once the old one counts no more', async () => {
        await release.openline`ca end`;
        await release.restartAgents();
        await release.openline`run linux/disk-usage --on all`;
      }),
    ];
  },
  async teardown(stage) {
    // Before the kind goes, whose objects Helm looks for.
    await ofNamespace(stage).remove();
    await removeKinds(stage.cluster, KINDS);
  },
};

function ofNamespace({ cluster, release: { tag } }: Stage) {
  const tls = { mode: 'certManager', certManager: { issuerRef: { name: 'company' } } };
  return createRelease(cluster, { namespace: NAMESPACE, tag, values: { tls } });
}

/** As cert-manager does it for a CA issuer with that root: another key each time, the name that is asked for. */
async function issue(cluster: Cluster, root: TestAuthority): Promise<TestAuthority> {
  const [certificate] = await cluster.list<Certificate>('certificates.cert-manager.io', '-n', NAMESPACE);
  if (certificate === undefined) throw new Error('there is no Certificate');
  const { secretName, commonName, isCA: isAuthority } = certificate.spec;
  const authority = await makeAuthority(commonName, Date.now(), { by: root, isAuthority });
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: secretName, namespace: NAMESPACE },
    stringData: { 'tls.crt': authority.caPem, 'tls.key': authority.keyPem, 'ca.crt': root.caPem },
  });
  return authority;
}

/** By somebody who knows nothing but the root. */
async function shown(cluster: Cluster, { caPem: ca }: TestAuthority): Promise<X509Certificate> {
  const { port, stop } = await cluster.forward(NAMESPACE, 'svc/openline-server', 5724);
  try {
    return await new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, servername: 'openline-server', ca }, () => {
        const certificate = socket.getPeerX509Certificate();
        socket.destroy();
        if (certificate === undefined) reject(new Error('no certificate'));
        else resolve(certificate);
      });
      socket.on('error', reject);
    });
  } finally {
    await stop();
  }
}
