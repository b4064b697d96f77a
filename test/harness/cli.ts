import { spawn } from 'node:child_process';
import { OPENLINE } from './paths.ts';
import { startProcess, type TestProcess } from './process.ts';
import type { TestServer } from './server.ts';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  /** Default: the admin token of the server. */
  readonly token?: string;
  readonly stdin?: string | Buffer;
  /** Default 60 000; KILL after that, so code is null. */
  readonly timeoutMs?: number;
}

/** It finds the server by itself; nothing of the person who runs the tests comes in. */
function surroundings({ dir }: TestServer, token?: string) {
  const env = {
    HOME: dir,
    XDG_CONFIG_HOME: dir,
    OPENLINE_SERVER: '',
    OPENLINE_CONTEXT: '',
    OPENLINE_TOKEN: token ?? '',
  };
  return { cwd: dir, env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1', ...env } };
}

/** Runs `openline …` against the server, to its end. */
export async function runCli(
  server: TestServer,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [OPENLINE, ...args], {
    ...surroundings(server, options.token),
    stdio: 'pipe',
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(options.stdin ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** Starts `openline …` and leaves it running: what it writes is in `lines`. */
export function startCli(server: TestServer, args: readonly string[]): TestProcess {
  return startProcess(process.execPath, [OPENLINE, ...args], surroundings(server));
}
