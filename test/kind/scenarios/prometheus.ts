import { eventually } from '../../harness/eventually.ts';
import type { Cluster, KubeObject } from '../cluster.ts';
import { defineKinds, removeKinds } from '../custom-kinds.ts';
import { removeNamespace, startService } from '../pods/pods.ts';
import type { Release } from '../release.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

const NAMESPACE = 'openline-prometheus';
/** Debian's, in an image with nothing else. */
const DOCKERFILE = `FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/*
`;

interface Monitor extends KubeObject {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly endpoints?: readonly Endpoint[];
    readonly podMetricsEndpoints?: readonly Endpoint[];
  };
}

interface EndpointSlice extends KubeObject {
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly endpoints: readonly { readonly addresses: readonly string[] }[];
}

interface PodWithPorts extends KubeObject {
  readonly spec: {
    readonly containers: readonly {
      readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
    }[];
  };
  readonly status: { readonly podIP: string };
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
    const image = imageOf(release);
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
        await defineKinds(cluster, KINDS);
        await release.ensure({ serviceMonitor: { enabled: true }, podMonitor: { enabled: true } });
      }),
      step('Prometheus in a pod knows nothing but the monitors', async () => {
        await cluster.commands.run('docker', ['build', '--tag', image, '-'], { stdin: DOCKERFILE, timeoutMs: 300_000 });
        await cluster.commands.run('kind', ['load', 'docker-image', image, '--name', cluster.name]);
        const config = { global: { scrape_interval: '2s' }, scrape_configs: await jobs(cluster, release.namespace) };
        await startService(cluster, {
          namespace: NAMESPACE,
          name: 'prometheus',
          image,
          // JSON is YAML.
          files: { 'prometheus.yml': JSON.stringify(config) },
          command: ['prometheus', '--config.file=/app/prometheus.yml', '--storage.tsdb.path=/data'],
          port: 9090,
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
    await removeKinds(cluster, KINDS);
    await cluster.commands.attempt('docker', ['image', 'rm', imageOf(release)]);
  },
};

function imageOf({ tag }: Release): string {
  return `openline/test-prometheus:${tag}`;
}

const GROUP = 'monitoring.coreos.com';
const KINDS = [
  { kind: 'ServiceMonitor', plural: 'servicemonitors', group: GROUP },
  { kind: 'PodMonitor', plural: 'podmonitors', group: GROUP },
];

/** What the Prometheus operator makes of a monitor, as far as ours goes. Debian's Prometheus cannot ask a cluster: the targets are looked up here. */
async function jobs(cluster: Cluster, namespace: string): Promise<object[]> {
  const job = async (monitor: Monitor, endpoint: Endpoint, targets: TargetsOf): Promise<object> => {
    const { port, path = '/metrics', scheme = 'http' } = endpoint;
    const labels = Object.entries(monitor.spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
    const found = await targets(cluster, ['-n', namespace, '-l', labels.join(',')], port);
    return {
      job_name: `${monitor.kind}/${monitor.metadata.name}/${port}`,
      metrics_path: path,
      scheme,
      static_configs: [{ targets: found }],
    };
  };
  const ofServices = await cluster.list<Monitor>('servicemonitors', '-n', namespace);
  const ofPods = await cluster.list<Monitor>('podmonitors', '-n', namespace);
  return await Promise.all([
    ...ofServices.flatMap((each) => (each.spec.endpoints ?? []).map((endpoint) => job(each, endpoint, behindServices))),
    ...ofPods.flatMap((each) => (each.spec.podMetricsEndpoints ?? []).map((endpoint) => job(each, endpoint, inPods))),
  ]);
}

/** @param where what selects the objects @returns `address:port` of each that has a port of this name */
type TargetsOf = (cluster: Cluster, where: readonly string[], port: string) => Promise<string[]>;

const behindServices: TargetsOf = async (cluster, where, port) => {
  const services = await cluster.list('services', ...where);
  const found: string[] = [];
  for (const { metadata } of services) {
    const of = ['-n', metadata.namespace ?? '', '-l', `kubernetes.io/service-name=${metadata.name}`];
    for (const slice of await cluster.list<EndpointSlice>('endpointslices', ...of)) {
      const addresses = slice.endpoints.flatMap((endpoint) => endpoint.addresses);
      const ports = slice.ports.filter(({ name }) => name === port);
      found.push(...ports.flatMap((each) => addresses.map((address) => `${address}:${each.port}`)));
    }
  }
  return found;
};

const inPods: TargetsOf = async (cluster, where, port) => {
  const pods = await cluster.list<PodWithPorts>('pods', ...where);
  return pods.flatMap(({ spec, status }) => {
    const ports = spec.containers.flatMap((container) => container.ports ?? []).filter(({ name }) => name === port);
    return ports.map(({ containerPort }) => `${status.podIP}:${containerPort}`);
  });
};
