import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real process under test. */
export interface TestProcess {
  readonly pid: number;
  /** What it wrote, line by line, both streams; the oldest lines go after 20,000. */
  readonly lines: readonly string[];
  /** The last lines, for messages. */
  tail(): string;
  /** The lines that are JSON objects: the log. */
  log(): Record<string, unknown>[];
  readonly exited: Promise<Exit>;
  hasExited(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** A crash: this process alone, none of its children. */
  kill9(): Promise<void>;
  /** TERM, then waits; KILL and an error when it takes longer. Default 30 000 ms. */
  stop(timeoutMs?: number): Promise<Exit>;
}

const logDir = process.env['OPENLINE_TEST_LOGS'];
const MAX_LINES = 20_000;
const running = new Set<ChildProcess>();

// A test runner that dies must not leave servers behind.
process.on('exit', () => {
  for (const child of running) killGroup(child);
});

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** In a process group of its own, so that a Ctrl-C at the test runner does not reach it and `cleanup` reaches all of it. */
export function startProcess(program: string, args: readonly string[], options: StartOptions = {}): TestProcess {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${program}`);
  running.add(child);
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      // To see what processes said in a test that failed: OPENLINE_TEST_LOGS=some/folder npm test
      if (logDir) appendFileSync(join(logDir, `${pid}.log`), `${line}\n`);
      if (lines.length > MAX_LINES) lines.shift();
    });
  }
  let ended = false;
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true;
      resolve({ code, signal });
    });
  });
  return {
    pid,
    lines,
    tail: () => lines.slice(-40).join('\n'),
    log: () => lines.flatMap(parseObject),
    exited,
    hasExited: () => ended,
    signal: (signal) => void child.kill(signal),
    async kill9() {
      child.kill('SIGKILL');
      await exited;
    },
    async stop(timeoutMs = 30_000) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      const exit = await exited;
      clearTimeout(timer);
      running.delete(child);
      if (exit.signal === 'SIGKILL') {
        throw new Error(`process ${pid} did not stop within ${timeoutMs} ms\n${lines.slice(-40).join('\n')}`);
      }
      return exit;
    },
  };
}

function parseObject(line: string): Record<string, unknown>[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group has ended.
  }
}

/** Kills every process that was started here, with its group, and waits until they are gone. */
export async function killProcesses(): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      killGroup(child);
      await exited;
      running.delete(child);
    }),
  );
}
