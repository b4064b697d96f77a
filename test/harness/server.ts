import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './eventually.ts';
import { localAccess, type Operator, operatorClient } from './operator.ts';
import { OPENLINE, TEMPLATE_VARIABLE } from './paths.ts';
import { stablePort } from './ports.ts';
import { startProcess, type TestProcess } from './process.ts';

export interface TestServer {
  readonly process: TestProcess;
  readonly dir: string;
  readonly dataDir: string;
  readonly agentPort: number;
  readonly operatorPort: number;
  readonly caHash: string;
  /** With the admin token of this machine. */
  readonly operator: Operator;
  /** A crash of the server process alone; its PostgreSQL is not told. */
  kill9(): Promise<void>;
  stop(timeoutMs?: number): Promise<void>;
  /** Starts it again in the same data directory, on the same ports. */
  restart(): Promise<TestServer>;
  /** GET of the metrics port: /metrics, /healthz, /readyz. */
  http(path: string): Promise<{ status: number; body: string }>;
}

export interface ServerOptions {
  /** A scratch directory; the server's data go below it. */
  readonly dir: string;
  /** e.g. ['--heartbeat-interval', '500ms']; later flags win. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A program, and its first arguments, that starts it where it is to run. */
  readonly enter?: readonly string[];
  /** Default: a free one, which it also finds free when it is started again. */
  readonly agentPort?: number;
  /** Default 127.0.0.1. */
  readonly agentAddress?: string;
  readonly operatorPort?: number;
  /** Default 60 000: the first start makes a PostgreSQL cluster. */
  readonly timeoutMs?: number;
}

/** Starts `openline server` as it is deployed, and resolves when its operator API answers. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  // Where the CLI looks for it by itself, when it is started in that directory.
  const dataDir = join(options.dir, '.openline', 'server');
  await copyDatabase(join(dataDir, 'postgres'));
  const startedAfterMs = BigInt(Date.now());
  const [program = '', ...args] = [...(options.enter ?? []), process.execPath];
  const child = startProcess(
    program,
    [
      ...args,
      OPENLINE,
      'server',
      `--data-dir=${dataDir}`,
      `--agent-listen=${options.agentAddress ?? '127.0.0.1'}:${options.agentPort ?? (await stablePort())}`,
      `--operator-listen=127.0.0.1:${options.operatorPort ?? (await stablePort())}`,
      '--metrics-listen=127.0.0.1:0',
      '--advertise=localhost,127.0.0.1',
      ...(options.flags ?? []),
    ],
    { cwd: options.dir, ...(options.env === undefined ? {} : { env: options.env }) },
  );
  const ask = async () => {
    if (child.hasExited()) return 'exited';
    // A file of an earlier start may still be there and name a dead port: only a server that started after us counts.
    const operator = operatorClient(await localAccess(dataDir));
    try {
      const who = await operator.whoAmI(2_000);
      if (who.serverStartedUnixMs >= startedAfterMs) return { operator, who };
    } catch (error) {
      operator.close();
      throw error;
    }
    operator.close();
    return undefined;
  };
  const ready = await eventually(ask, { what: 'the server', timeoutMs: options.timeoutMs ?? 60_000 }).catch((cause) => {
    throw new Error(`the server did not become ready:\n${child.tail()}`, { cause });
  });
  if (ready === 'exited') throw new Error(`the server ended at its start:\n${child.tail()}`);
  const { operator, who } = ready;
  const { address } = await localAccess(dataDir);
  const operatorPort = Number(address.slice(address.lastIndexOf(':') + 1));
  return {
    process: child,
    dir: options.dir,
    dataDir,
    agentPort: who.agentPort,
    operatorPort,
    caHash: who.caHash,
    operator,
    kill9: () => child.kill9(),
    async stop(timeoutMs) {
      operator.close();
      await child.stop(timeoutMs);
    },
    async http(path) {
      const ready = await eventually(() => child.log().find((line) => line['msg'] === 'ready'), {
        what: 'the log line ready',
      });
      const response = await fetch(`http://127.0.0.1:${ready['metricsPort']}${path}`);
      return { status: response.status, body: await response.text() };
    },
    restart() {
      operator.close();
      return startServer({ ...options, agentPort: who.agentPort, operatorPort });
    },
  };
}

/** To make a database takes most of a first start. Does nothing where there is one already, or no template. */
async function copyDatabase(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const template = process.env[TEMPLATE_VARIABLE];
  if (template === undefined || existsSync(join(directory, 'data'))) return;
  // As root the files belong to another user, and must in the copy, too.
  await promisify(execFile)('cp', ['-a', join(template, 'data'), join(template, 'password'), directory]);
}
