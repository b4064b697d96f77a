import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { OutputStream } from '@openline/proto/agent';
import { OpenlineError } from '@openline/proto/errors';
import type { Clock, Timer } from '../clock.ts';
import { groupLives, signalGroup } from './groups.ts';

/** One process in a session and process group of its own. */
export interface RunningProcess {
  readonly pid: number;
  /** TERM to the group, after the grace KILL. Again: nothing. */
  stop(): void;
}

export interface ProcessSpec {
  readonly argv: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Between TERM and KILL, milliseconds. */
  readonly killGraceMs: number;
}

export interface ProcessExit {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

export interface ProcessHandler {
  /** @returns a promise when reading must wait for it */
  onOutput(stream: OutputStream, bytes: Buffer): Promise<void> | undefined;
  /** Once: the process exited, its group is gone or was killed, and its output was read. */
  onEnd(exit: ProcessExit): void;
}

/** Members of the group that outlive a process which ended by itself: between TERM and KILL. */
const LEFTOVER_GRACE_MS = 1_000;
/** After KILL; what is still there hangs in the kernel or belongs to another user. */
const AFTER_KILL_MS = 500;
const POLL_MS = 20;
/**
 * A descendant in another session may hold the pipes open for ever: we look so often, 2 s on a machine that has time. Looks and not time:
 * between two of them whatever is in the pipes is read, and a machine that was busy or asleep has had no chance to.
 */
const EOF_LOOKS = 100;
/** What waited in the pipe while we waited for our own disk. */
const LOOKS_AFTER_HOLD = 5;

/** In the task's standard error, where everybody sees it who sees the output. */
const LEFT_OPEN =
  '\n[openline: output may be incomplete: a process that the task left behind still holds it open; what that writes from now on is not kept]\n';

/**
 * @throws OpenlineError SPAWN_FAILED, ARGUMENT_TOO_LONG, PARAMETERS_INVALID (a NUL byte); nothing was started
 */
export async function runProcess(clock: Clock, spec: ProcessSpec, handler: ProcessHandler): Promise<RunningProcess> {
  const [program, ...args] = spec.argv;
  if (program === undefined) throw new OpenlineError('SPAWN_FAILED', 'the task names no program');
  if ([...spec.argv, ...Object.values(spec.env)].some((text) => text.includes('\0'))) {
    throw new OpenlineError('PARAMETERS_INVALID', 'a parameter holds a NUL byte, which no process can be given');
  }
  const child = start(program, args, spec);
  const pid = child.pid;
  if (pid === undefined) throw await failure(child, program);
  return supervise(clock, spec, handler, child, pid);
}

function start(program: string, args: string[], spec: ProcessSpec): ChildProcess {
  try {
    return spawn(program, args, {
      cwd: spec.cwd,
      env: { ...spec.env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    throw spawnError(error, program);
  }
}

function failure(child: ChildProcess, program: string): Promise<OpenlineError> {
  return new Promise((resolve) => child.once('error', (error) => resolve(spawnError(error, program))));
}

function spawnError(error: unknown, program: string): OpenlineError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'E2BIG':
      return new OpenlineError('ARGUMENT_TOO_LONG', `the parameters are too long for ${program}`, { cause: error });
    case 'ENOENT':
      return new OpenlineError('SPAWN_FAILED', `${program} is not there`, { cause: error });
    case 'EACCES':
      return new OpenlineError('SPAWN_FAILED', `${program} may not be executed by the agent`, { cause: error });
    default:
      return new OpenlineError('SPAWN_FAILED', `${program} could not be started: ${String(code ?? error)}`, {
        cause: error,
      });
  }
}

function supervise(
  clock: Clock,
  spec: ProcessSpec,
  handler: ProcessHandler,
  child: ChildProcess,
  pid: number,
): RunningProcess {
  let killTimer: Timer | undefined;
  let exit: ProcessExit | undefined;
  /** Of what is left of the group then. */
  let killAtMs = Number.POSITIVE_INFINITY;
  let groupGone = false;
  let closed = false;
  let held = 0;
  let ended = false;

  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null);
  read(child.stdout, OutputStream.OUTPUT_STREAM_STDOUT);
  read(child.stderr, OutputStream.OUTPUT_STREAM_STDERR);

  function read(pipe: Readable | null, stream: OutputStream): void {
    pipe?.on('data', (bytes: Buffer) => {
      const wait = handler.onOutput(stream, bytes);
      if (wait === undefined) return;
      pipe.pause();
      held += 1;
      void wait.finally(() => {
        held -= 1;
        pipe.resume();
      });
    });
    // A pipe that breaks ends like one that is closed.
    pipe?.on('error', () => pipe.destroy());
  }

  child.once('exit', (code, signal) => {
    exit = { exitCode: code ?? undefined, signal: signal ?? undefined };
    endLeftovers();
  });
  child.once('close', () => {
    closed = true;
    finishWhenDone();
  });
  child.on('error', () => undefined);

  /** What the process leaves behind in its group does not stay. */
  function endLeftovers(): void {
    if (killTimer === undefined) {
      if (!signalGroup(pid, 'SIGTERM')) {
        gone();
        return;
      }
      killAtMs = clock.nowMs() + LEFTOVER_GRACE_MS;
    }
    // When it was stopped they had TERM with it, and have as long as it had: a shell ends at once, and what it ran may have to clean up.
    killTimer?.cancel();
    void waitForGroup(POLL_MS, false);
  }

  async function waitForGroup(pollMs: number, killed: boolean): Promise<void> {
    if (!(await groupLives(pid))) {
      gone();
      return;
    }
    const overdueMs = clock.nowMs() - killAtMs;
    const kill = !killed && overdueMs >= 0;
    if (kill) signalGroup(pid, 'SIGKILL');
    if (overdueMs >= AFTER_KILL_MS) gone();
    else clock.after(pollMs, () => void waitForGroup(Math.min(2 * pollMs, 200), killed || kill));
  }

  function gone(): void {
    groupGone = true;
    finishWhenDone();
    if (!ended) waitForEof(EOF_LOOKS);
  }

  function waitForEof(looks: number): void {
    clock.after(POLL_MS, () => {
      if (ended) return;
      if (held > 0) return waitForEof(Math.max(looks, LOOKS_AFTER_HOLD));
      if (looks > 0) return waitForEof(looks - 1);
      for (const pipe of pipes) pipe.destroy();
      closed = true;
      void handler.onOutput(OutputStream.OUTPUT_STREAM_STDERR, Buffer.from(LEFT_OPEN));
      finishWhenDone();
    });
  }

  function finishWhenDone(): void {
    if (ended || exit === undefined || !groupGone || !closed) return;
    ended = true;
    handler.onEnd(exit);
  }

  return {
    pid,
    stop() {
      if (exit !== undefined || killTimer !== undefined) return;
      signalGroup(pid, 'SIGTERM');
      killAtMs = clock.nowMs() + spec.killGraceMs;
      killTimer = clock.after(spec.killGraceMs, () => signalGroup(pid, 'SIGKILL'));
    },
  };
}
