import { join } from 'node:path';
import { ROOT } from '../../harness/paths.ts';
import type { Cluster } from '../cluster.ts';
import { words } from '../words.ts';

/** nobody, who has a name in every image: PostgreSQL wants one. */
const RUN_AS = { runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534 };

/** What the restricted pod security standard asks for. */
export const RESTRICTED = {
  pod: { ...RUN_AS, seccompProfile: { type: 'RuntimeDefault' } },
  container: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
} as const;

/** A program of this folder as one file that any Node 24 runs. */
export async function bundle({ commands }: Cluster, program: string): Promise<string> {
  const esbuild = join(ROOT, 'node_modules', '.bin', 'esbuild');
  const flags = words`--bundle --platform=node --format=cjs --target=node24 --minify --log-level=warning`;
  return await commands.run(esbuild, [join(import.meta.dirname, `${program}.ts`), ...flags]);
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly image: string;
  /** File name → text, in the folder /app. */
  readonly files: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly port: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** One pod behind a Service of the same name; it may write to /data and /tmp. Resolves when its port answers. */
export async function startService(cluster: Cluster, service: Service): Promise<void> {
  const { namespace, name, port } = service;
  const metadata = { name, namespace, labels: { app: name } };
  await cluster.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: service.files },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: { app: name }, ports: [{ port }] } },
  );
  // Before its account is there, which follows the namespace, a pod is refused.
  await cluster.kubectl`wait -n ${namespace} --for=create serviceaccount/default --timeout=60s`;
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: {
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      securityContext: RESTRICTED.pod,
      containers: [
        {
          name,
          image: service.image,
          command: service.command,
          env: Object.entries(service.env ?? {}).map(([key, value]) => ({ name: key, value })),
          securityContext: RESTRICTED.container,
          readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
          volumeMounts: [
            { name: 'app', mountPath: '/app' },
            { name: 'data', mountPath: '/data' },
            { name: 'tmp', mountPath: '/tmp' },
          ],
        },
      ],
      volumes: [
        { name: 'app', configMap: { name } },
        { name: 'data', emptyDir: {} },
        { name: 'tmp', emptyDir: {} },
      ],
    },
  });
  await cluster.kubectl`wait -n ${namespace} --for=condition=Ready pod/${name} --timeout=120s`;
}

export async function removeNamespace({ kubectl }: Cluster, namespace: string): Promise<void> {
  await kubectl`delete namespace ${namespace} --ignore-not-found --timeout=120s`;
}
