import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../harness/paths.ts';
import { DATA, LOGS } from './places.ts';

const END_WITH_DEMO = new URL('end-with-demo.mjs', import.meta.url);
/** A live table hides it. */
const SHOW_CURSOR = '\x1b[?25h';
/** Longer than a task may take to die of TERM, and than PostgreSQL takes to stop. */
const STOP_WITHIN_MS = 15_000;
const STOP_AT_ONCE_MS = 2_000;

export interface Child {
  readonly pid: number;
  readonly exited: Promise<string>;
  hasExited(): boolean;
  signal(name: NodeJS.Signals): void;
}

const services = new Set<Child>();
const shells = new Set<Child>();
/** From then on nothing is started any more, though a step may still be under way. */
let ending = false;

/** Nothing that was set for another Openline, or for a proxy, may lead the demo's processes astray. */
export function cleanEnv(): Record<string, string> {
  const given = Object.entries(process.env).flatMap(([key, value]) =>
    value === undefined || /^(OPENLINE_.*|NODE_OPTIONS|(grpc|https?|all)_proxy)$/i.test(key) ? [] : [[key, value]],
  );
  // Node's own cache would lie in /tmp.
  const NODE_COMPILE_CACHE = join(DATA, 'compile-cache');
  return { ...Object.fromEntries(given), OPENLINE_CONFIG: '/dev/null', NODE_COMPILE_CACHE };
}

/** A process of Node that ends with the demo, its output in a log file. In a group of its own: Ctrl-C is the demo's to handle. */
export function startService(name: string, args: readonly string[], env: Record<string, string> = {}): Child {
  refuseWhenEnding();
  mkdirSync(LOGS, { recursive: true });
  const log = openSync(logFile(name), 'w', 0o600);
  try {
    const child = spawn(process.execPath, ['--import', END_WITH_DEMO.href, ...args], {
      cwd: ROOT,
      env: { ...cleanEnv(), ...env },
      stdio: ['pipe', log, log],
      detached: true,
    });
    return track(child, services, (pid) => pid);
  } finally {
    closeSync(log);
  }
}

export interface Shell extends Child {
  /** What it wrote to standard output, if that is kept and not shown. */
  stdout(): string;
}

/** A command line, run by the shell exactly as it is shown. `openline` is what `npx openline` starts. */
export function startShell(line: string, keep: boolean): Shell {
  refuseWhenEnding();
  const bin = join(ROOT, 'node_modules', '.bin');
  // A pipeline needs the shell; without one, a signal should reach openline and nobody else.
  const child = spawn('/bin/sh', ['-c', line.includes('|') ? line : `exec ${line}`], {
    cwd: ROOT,
    env: {
      ...cleanEnv(),
      PATH: `${bin}:${process.env['PATH'] ?? '/usr/bin:/bin'}`,
      NODE_OPTIONS: `--import=${END_WITH_DEMO.href}`,
      ...(keep ? { NO_COLOR: '1' } : {}),
    },
    stdio: ['pipe', keep ? 'pipe' : 'inherit', keep ? 'ignore' : 'inherit'],
    detached: true,
  });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  // The whole of a pipeline.
  return { ...track(child, shells, (pid) => -pid), stdout: () => text };
}

/** @returns the log of a service of this run, for messages */
export function readLog(name: string): string {
  return readFileSync(logFile(name), 'utf8');
}

export function logFile(name: string): string {
  return join(LOGS, `${name}.log`);
}

/** @param address what a signal is sent to */
function track(process_: ChildProcess, running: Set<Child>, address: (pid: number) => number): Child {
  const { pid } = process_;
  let ended = false;
  const exited = new Promise<string>((resolve) => {
    process_.once('error', (error) => resolve(error.message));
    // Not 'exit': what it wrote has been read by then.
    process_.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  }).then((how) => {
    ended = true;
    running.delete(child);
    return how;
  });
  // Closed when it ends; writing to it is never tried.
  process_.stdin?.on('error', () => {});
  const child: Child = {
    pid: pid ?? 0,
    exited,
    hasExited: () => ended,
    signal(name) {
      try {
        if (pid !== undefined && !ended) process.kill(address(pid), name);
      } catch {
        // It has ended.
      }
    },
  };
  if (pid !== undefined) running.add(child);
  return child;
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** TERM, time to stop in good order, TERM again (which means: at once), and KILL. */
export async function stopChild(child: Child, atOnce?: AbortSignal): Promise<void> {
  child.signal('SIGTERM');
  if (await endsWithin(child, STOP_WITHIN_MS, atOnce)) return;
  child.signal('SIGTERM');
  if (await endsWithin(child, STOP_AT_ONCE_MS)) return;
  child.signal('SIGKILL');
  await child.exited;
}

async function endsWithin(child: Child, ms: number, hurry?: AbortSignal): Promise<boolean> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, ms);
  hurry?.addEventListener('abort', () => timeout.resolve(), { once: true });
  if (hurry?.aborted) timeout.resolve();
  await Promise.race([child.exited, timeout.promise]);
  clearTimeout(timer);
  return child.hasExited();
}

/** Ends everything that runs; the server, which agents need to say goodbye to, last. */
export async function stopAll(server: Child | undefined, atOnce: AbortSignal): Promise<void> {
  ending = true;
  // What is shown ends with the demo; its advice on how to come back would be wrong.
  for (const shell of shells) shell.signal('SIGKILL');
  if (process.stderr.isTTY) process.stderr.write(SHOW_CURSOR);
  await Promise.all([...services].filter((child) => child !== server).map((child) => stopChild(child, atOnce)));
  if (server !== undefined && !server.hasExited()) await stopChild(server, atOnce);
}

function refuseWhenEnding(): void {
  if (ending) throw new Error('the demo is ending');
}
