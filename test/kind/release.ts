import { join } from 'node:path';
import type { AgentView } from '../../cli/src/views/agent.ts';
import type { RunDocument, RunView } from '../../cli/src/views/run.ts';
import { eventually } from '../harness/eventually.ts';
import { ROOT } from '../harness/paths.ts';
import type { Cluster, Pod } from './cluster.ts';
import type { Done } from './commands.ts';
import { expectSame } from './scenario.ts';
import { typed, type Word, words } from './words.ts';

export type Values = Readonly<Record<string, unknown>>;

export interface ReleaseOptions {
  readonly namespace: string;
  /** Of the images that were loaded. */
  readonly tag: string;
  /** Of the server. Default: StatefulSet. */
  readonly workload?: 'sts' | 'deploy';
  /** Default: hostPath. */
  readonly journals?: 'hostPath' | 'emptyDir';
  /** Values that every install of it has. */
  readonly values?: Values;
}

export type Release = ReturnType<typeof createRelease>;

const CHART = join(ROOT, 'charts', 'openline');
/** Three nodes on two busy processors. */
const HELM_WITHIN_S = 300;
const AGENTS_WITHIN_MS = 120_000;
const RUN_ENDS_WITHIN_MS = 180_000;
const ASKED_WITHIN_MS = 60_000;
const POLL_MS = 1_000;

/** On each node, where they are hostPath; the chart's own choice. */
export function journalsOf(namespace: string): string {
  return `/var/lib/openline/${namespace === 'openline' ? 'agent' : `agents/${namespace}_openline`}`;
}

/** One install of the chart, always called `openline`, and what its users do with it. */
export function createRelease(cluster: Cluster, options: ReleaseOptions) {
  const { commands, kubectl } = cluster;
  const { namespace, workload = 'sts', journals = 'hostPath' } = options;
  const server = `${workload}/openline-server`;
  const base: Values = {
    server: { image: { tag: options.tag } },
    agent: { image: { tag: options.tag }, persistence: { type: journals } },
  };
  /** As JSON, of what is installed now; undefined when nobody knows. */
  let installed: string | undefined;

  const helm = typed((args) =>
    commands.run('helm', [...args, '--namespace', namespace], { timeoutMs: (HELM_WITHIN_S + 30) * 1000 }),
  );

  async function apply(values: Values): Promise<void> {
    installed = undefined;
    const args = words`upgrade --install openline ${CHART} --namespace ${namespace} --create-namespace --wait`;
    await commands.run('helm', [...args, ...words`--timeout ${HELM_WITHIN_S}s --values -`], {
      stdin: JSON.stringify(merge(merge(base, options.values ?? {}), values)),
      timeoutMs: (HELM_WITHIN_S + 30) * 1000,
    });
    installed = JSON.stringify(values);
  }

  async function remove(): Promise<void> {
    installed = undefined;
    await commands.attempt('helm', words`uninstall openline --namespace ${namespace} --wait --timeout 120s`);
    await kubectl`delete namespace ${namespace} --ignore-not-found --timeout=120s`;
    if (journals === 'emptyDir') return;
    for (const node of await cluster.nodes()) await cluster.onNode(node)`rm -rf ${journalsOf(namespace)}`;
  }

  /** `kubectl exec … openline ARGS`, as an operator in the cluster types it. */
  const exec = (args: readonly string[]): Promise<Done> =>
    commands.attempt('kubectl', [...words`exec -n ${namespace} ${server} -c server -- openline`, ...args], {
      timeoutMs: ASKED_WITHIN_MS,
    });

  const openline = typed(async (args) => {
    const { code, stdout, stderr } = await exec(args);
    if (code !== 0) throw new Error(`openline ${args.join(' ')}\nended with exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  });

  async function ask<T>(text: TemplateStringsArray, ...values: readonly Word[]): Promise<T> {
    return JSON.parse(await openline`${words(text, ...values)} -o json`);
  }

  const agents = (targets = 'all'): Promise<readonly AgentView[]> =>
    ask<readonly AgentView[]>`agents list --selector ${targets}`;

  const pods = (component: 'server' | 'agent'): Promise<readonly Pod[]> =>
    cluster.list<Pod>('pods', '-n', namespace, '-l', `app.kubernetes.io/component=${component}`);

  /** Resolves when each node has its agent, and all are there. */
  async function complete(): Promise<void> {
    const nodes = await cluster.nodes();
    await eventually(
      async () => {
        const online = (await agents()).filter(({ state }) => state === 'online').map(({ name }) => name);
        return nodes.every((node) => online.includes(node));
      },
      { what: `agents of ${nodes.join(', ')}`, timeoutMs: AGENTS_WITHIN_MS, intervalMs: POLL_MS },
    );
  }

  const ids = async (): Promise<string[]> => (await agents()).map(({ id }) => id);

  return {
    namespace,
    tag: options.tag,
    helm,
    apply,
    /** What is installed, once more: Helm puts its objects into the place of those that are there, instead of patching them. */
    replace: () => helm`upgrade openline ${CHART} --reuse-values --force --wait --timeout ${HELM_WITHIN_S}s`,
    /** Takes it and all that it left, so that the next install is a first one. */
    remove,
    openline,
    ask,
    /** For what may fail, or must. */
    attempt: typed(exec),
    agents,
    complete,
    pods,

    /** Something failed, or was taken away: the next one that needs it begins anew. */
    forget(): void {
      installed = undefined;
    },

    /** Installs it, or upgrades what is there to these values; then every node has its agent. */
    async ensure(values: Values = {}): Promise<void> {
      if (installed !== JSON.stringify(values)) {
        if (installed === undefined) await remove();
        await apply(values);
      }
      await complete();
    },

    /** Of the agents that there are. */
    ids,

    /** Who is connected, and since when: a link that was lost has another epoch. */
    links: async (): Promise<string[]> =>
      (await agents()).map(({ name, id, sessionEpoch }) => `${name} ${id} ${sessionEpoch}`),

    /** Their pods are made anew; the agents are those they were. */
    async restartAgents(): Promise<void> {
      const before = await ids();
      await kubectl`delete pods -n ${namespace} -l app.kubernetes.io/component=agent`;
      await kubectl`rollout status -n ${namespace} ds/openline-agent --timeout=120s`;
      await complete();
      expectSame('agents', await ids(), before);
    },

    /** The node of the server. */
    home: async (): Promise<string> => (await pods('server'))[0]?.spec.nodeName ?? '',

    /** `openline run …`. @returns the id of the run, which goes on by itself */
    begin: typed(async (args): Promise<string> => (await openline`run ${args} --yes --detach`).trim()),

    /** The run, once every target has ended; also over restarts of the server. */
    async ended(run: string): Promise<RunDocument> {
      return await eventually(
        async () => {
          const document = await ask<RunDocument>`runs show ${run} --show-output`;
          return document.outcome !== 'open' && document;
        },
        { what: `the end of run ${run}`, timeoutMs: RUN_ENDS_WITHIN_MS, intervalMs: POLL_MS },
      );
    },

    runs: (): Promise<readonly RunView[]> => ask<readonly RunView[]>`runs list --limit 1000`,

    /** By way of the API server of the cluster. */
    async metrics(): Promise<string> {
      const [pod] = await pods('server');
      return await kubectl`get --raw /api/v1/namespaces/${namespace}/pods/${pod?.metadata.name ?? ''}:9464/proxy/metrics`;
    },
  };
}

/** The second goes over the first; objects are merged, as Helm does. */
function merge(first: Values, second: Values): Values {
  const merged = Object.entries(second).map(([key, value]) => {
    const before = first[key];
    return [key, isValues(before) && isValues(value) ? merge(before, value) : value];
  });
  return { ...first, ...Object.fromEntries(merged) };
}

function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
