import { eventually } from '../harness/eventually.ts';
import type { Commands, Done } from './commands.ts';
import { typed } from './words.ts';

/** What `kubectl get -o json` shows of any object. */
export interface KubeObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export interface Forward {
  /** On 127.0.0.1. */
  readonly port: number;
  stop(): Promise<void>;
}

export type Cluster = ReturnType<typeof createCluster>;

/** More than any `--timeout` that is given to kubectl here, whose message says more. */
const KUBECTL_WITHIN_MS = 300_000;
const FORWARDS_WITHIN_MS = 30_000;

/** A running cluster of kind, by the programs that its users have. KUBECONFIG is in the environment of the commands. */
export function createCluster(commands: Commands, name: string) {
  const kubectl = typed((args) => commands.run('kubectl', args, { timeoutMs: KUBECTL_WITHIN_MS }));

  /** @param where further words of `kubectl get` */
  async function list<T extends KubeObject>(kind: string, ...where: readonly string[]): Promise<readonly T[]> {
    const { items }: { items: readonly T[] } = JSON.parse(await kubectl`get ${kind} ${where} -o json`);
    return items;
  }

  /** Of the objects. */
  async function names(kind: string, ...where: readonly string[]): Promise<string[]> {
    return (await list(kind, ...where)).map(({ metadata }) => metadata.name);
  }

  return {
    name,
    commands,
    kubectl,
    list,

    /** For what may fail, or must. */
    attempt: typed((args): Promise<Done> => commands.attempt('kubectl', args)),

    /** @param objects whatever JSON can hold */
    async apply(...objects: readonly object[]): Promise<void> {
      const stdin = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
      await commands.run('kubectl', ['apply', '-f', '-'], { stdin });
    },

    names,

    nodes: (): Promise<string[]> => names('nodes'),

    /** Nodes that take ordinary pods. */
    workers: (): Promise<string[]> => names('nodes', '-l', '!node-role.kubernetes.io/control-plane'),

    /** As root on a node: a node of kind is a container. */
    onNode: (node: string) => typed((args) => commands.run('docker', ['exec', node, ...args])),

    /** A port of this machine that leads to one of a pod or Service. @throws Error with what kubectl says */
    async forward(namespace: string, target: string, port: number): Promise<Forward> {
      const running = commands.start('kubectl', ['port-forward', '-n', namespace, target, `:${port}`]);
      const local = await eventually(
        () => {
          if (running.hasExited()) return 'ended';
          return running.lines.map((line) => /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1]).find(Boolean);
        },
        { what: `kubectl port-forward ${target}`, timeoutMs: FORWARDS_WITHIN_MS },
      );
      if (local === 'ended') throw new Error(`kubectl port-forward ${target} ended: ${running.lines.join('\n')}`);
      return { port: Number(local), stop: () => running.stop() };
    },
  };
}
