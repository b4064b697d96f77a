import { eventually } from '../../harness/eventually.ts';
import type { KubeObject } from '../cluster.ts';
import { removeNamespace, startService } from '../pods/pods.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

const NAMESPACE = 'openline-prometheus';
/** Debian's, in an image with nothing else. */
const DOCKERFILE = `FROM node:24-bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/*
`;

interface Monitor extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly namespace: string };
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly namespaceSelector?: { readonly matchNames?: readonly string[] };
    readonly endpoints?: readonly Endpoint[];
    readonly podMetricsEndpoints?: readonly Endpoint[];
  };
}

interface Endpoint {
  readonly port: string;
  readonly path?: string;
  readonly scheme?: string;
}

export const prometheus: Scenario = {
  name: 'prometheus',
  title: 'Prometheus scrapes server and agents by the port and path of the ServiceMonitor and the PodMonitor',
  namespaces: [NAMESPACE],
  steps({ cluster, release }) {
    const proxy = `/api/v1/namespaces/${NAMESPACE}/pods/prometheus:9090/proxy`;
    const query = async (expression: string): Promise<string[]> => {
      const text = await cluster.kubectl`get --raw ${proxy}/api/v1/query?query=${encodeURIComponent(expression)}`;
      const answer: { data: { result: { value: [number, string] }[] } } = JSON.parse(text);
      return answer.data.result.map(({ value }) => value[1]);
    };
    const becomes = async (expression: string, value: number): Promise<void> => {
      const isThere = async (): Promise<true> => {
        expectSame(expression, await query(expression), [`${value}`]);
        return true;
      };
      await eventually(isThere, { what: `${expression} to be ${value}`, timeoutMs: 90_000, intervalMs: 2_000 });
    };
    return [
      step('install with monitors, in a cluster that knows their kinds', async () => {
        await cluster.apply(definition('ServiceMonitor', 'servicemonitors'), definition('PodMonitor', 'podmonitors'));
        await cluster.kubectl`wait --for=condition=Established crd ${CRDS} --timeout=60s`;
        await release.ensure({ serviceMonitor: { enabled: true }, podMonitor: { enabled: true } });
      }),
      step('Prometheus in a pod knows nothing but the monitors', async () => {
        const image = `openline/test-prometheus:${release.tag}`;
        await cluster.commands.run('docker', ['build', '--tag', image, '-'], { stdin: DOCKERFILE, timeoutMs: 300_000 });
        await cluster.commands.run('kind', ['load', 'docker-image', image, '--name', cluster.name]);
        const jobs = [
          ...(await cluster.list<Monitor>('servicemonitors', '-n', release.namespace)).flatMap(serviceJobs),
          ...(await cluster.list<Monitor>('podmonitors', '-n', release.namespace)).flatMap(podJobs),
        ];
        await startService(cluster, {
          namespace: NAMESPACE,
          name: 'prometheus',
          image,
          // JSON is YAML.
          files: { 'prometheus.yml': JSON.stringify({ global: { scrape_interval: '2s' }, scrape_configs: jobs }) },
          command: ['prometheus', '--config.file=/app/prometheus.yml', '--storage.tsdb.path=/data'],
          port: 9090,
          mayView: release.namespace,
        });
      }),
      step('every target is up: the server, and the agent of each node', async () => {
        await becomes('count(up == 1)', 1 + (await cluster.nodes()).length);
        await becomes('count(up == 0) or vector(0)', 0);
      }),
      step('the metrics of the server are there', async () => {
        await becomes('openline_agents_connected', (await cluster.nodes()).length);
        await becomes('count(count by (__name__) ({__name__=~"openline_.+"})) > bool 20', 1);
      }),
      step('the metrics of each agent are there', async () => {
        await becomes('count(openline_agent_link_state{state="ready"} == 1)', (await cluster.nodes()).length);
      }),
    ];
  },
  async teardown({ cluster, release }) {
    // Before the kinds go, whose objects Helm would look for.
    await release.remove();
    await removeNamespace(cluster, NAMESPACE);
    await cluster.kubectl`delete crd ${CRDS} --ignore-not-found`;
  },
};

const CRDS = ['servicemonitors.monitoring.coreos.com', 'podmonitors.monitoring.coreos.com'];

/** As much of the operator's as Helm needs. */
function definition(kind: string, plural: string): object {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
}

/** What the Prometheus operator makes of a ServiceMonitor, as far as ours goes. */
function serviceJobs(monitor: Monitor): object[] {
  return (monitor.spec.endpoints ?? []).map((endpoint, index) =>
    job(
      monitor,
      endpoint,
      `service/${monitor.metadata.name}/${index}`,
      'endpoints',
      '__meta_kubernetes_service_label_',
      '__meta_kubernetes_endpoint_port_name',
    ),
  );
}

function podJobs(monitor: Monitor): object[] {
  return (monitor.spec.podMetricsEndpoints ?? []).map((endpoint, index) =>
    job(
      monitor,
      endpoint,
      `pod/${monitor.metadata.name}/${index}`,
      'pod',
      '__meta_kubernetes_pod_label_',
      '__meta_kubernetes_pod_container_port_name',
    ),
  );
}

function job(
  { metadata, spec }: Monitor,
  { port, path = '/metrics', scheme = 'http' }: Endpoint,
  name: string,
  role: string,
  label: string,
  portLabel: string,
): object {
  const keep = (source: string, regex: string): object => ({ action: 'keep', source_labels: [source], regex });
  return {
    job_name: name,
    metrics_path: path,
    scheme,
    kubernetes_sd_configs: [
      { role, namespaces: { names: spec.namespaceSelector?.matchNames ?? [metadata.namespace] } },
    ],
    relabel_configs: [
      ...Object.entries(spec.selector.matchLabels).map(([key, value]) =>
        keep(`${label}${key.replaceAll(/[^A-Za-z0-9_]/g, '_')}`, value),
      ),
      keep(portLabel, port),
    ],
  };
}
