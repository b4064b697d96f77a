import { join } from 'node:path';
import { eventually } from './eventually.ts';
import type { TestNode } from './node.ts';
import { AGENT } from './paths.ts';
import { startProcess, type TestProcess } from './process.ts';
import type { TestServer } from './server.ts';

export interface TestAgent {
  readonly process: TestProcess;
  readonly name: string;
  readonly dataDir: string;
  kill9(): Promise<void>;
  stop(timeoutMs?: number): Promise<void>;
  /** Starts it again in the same data directory: the same identity, journal and spool. @param changes e.g. the server, when it was restarted */
  restart(changes?: Partial<Pick<AgentOptions, 'server' | 'awaitOnline' | 'flags'>>): Promise<TestAgent>;
}

export interface AgentOptions {
  /** A scratch directory; the agent's data go below it, by name. */
  readonly dir: string;
  readonly server: TestServer;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Where the server is, when not directly there: the port of a `Network`. */
  readonly port?: number;
  /** Where it runs, when not on this machine. */
  readonly node?: TestNode;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: a new one from the server. undefined after the first start. */
  readonly joinToken?: string;
  /** That of its pod, in place of a join token. Its name is that of its node. */
  readonly tokenFile?: string;
  /** Default true: resolves when the server says that it is connected. */
  readonly awaitOnline?: boolean;
}

/** Starts the bundled agent as it is deployed; enrols it when its data directory is new. */
export async function startAgent(options: AgentOptions): Promise<TestAgent> {
  const { server, name, tokenFile } = options;
  const proof =
    tokenFile === undefined
      ? `--join-token=${options.joinToken ?? (await server.operator.joinToken())}`
      : `--kubernetes-token-file=${tokenFile}`;
  return launch(options, [proof, `--ca-hash=${server.caHash}`, `--name=${name}`]);
}

async function launch(options: AgentOptions, enrolment: readonly string[]): Promise<TestAgent> {
  const { server, name } = options;
  const dataDir = join(options.dir, `agent-${name}`);
  const startedMs = BigInt(Date.now());
  const [program = '', ...args] = [...(options.node?.enter ?? []), process.execPath];
  const child = startProcess(
    program,
    [
      ...args,
      AGENT,
      `--data-dir=${dataDir}`,
      `--server=${options.node?.host ?? 'localhost'}:${options.port ?? server.agentPort}`,
      ...enrolment,
      // What happens to this machine while tests run is not theirs.
      '--events-sources=agent',
      ...Object.entries(options.labels ?? {}).map(([key, value]) => `--label=${key}=${value}`),
      ...(options.flags ?? []),
    ],
    { cwd: options.dir, ...(options.env === undefined ? {} : { env: options.env }) },
  );
  if (options.awaitOnline !== false) {
    const what = `agent ${name} to connect`;
    const answer = await eventually(
      async () => {
        if (child.hasExited()) return 'exited';
        const found = (await server.operator.agents()).find((agent) => agent.name === name);
        return found?.online === true && found.connectedUnixMs >= startedMs && 'online';
      },
      { what, timeoutMs: 30_000 },
    ).catch((cause) => {
      throw new Error(`still waiting for ${what}:\n${child.tail()}`, { cause });
    });
    if (answer === 'exited') throw new Error(`agent ${name} ended at its start:\n${child.tail()}`);
  }
  return {
    process: child,
    name,
    dataDir,
    kill9: () => child.kill9(),
    stop: async (timeoutMs) => void (await child.stop(timeoutMs)),
    restart: (changes) => launch({ ...options, ...changes }, []),
  };
}
