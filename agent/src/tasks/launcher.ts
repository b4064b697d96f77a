import { join } from 'node:path';
import type { Interpreter } from '@openline/packs';
import { OutputStream } from '@openline/proto/agent';
import { OpenlineError } from '@openline/proto/errors';
import { newEvent } from '../events/agent-log/record.ts';
import type { EventLog } from '../events/agent-log/writer.ts';
import { requireProgram } from '../host/require.ts';
import type { View } from '../host/view.ts';
import type { ReadyTask } from '../packs/library.ts';
import type { Clock } from './clock.ts';
import type { Ending } from './dispatch-machine.ts';
import { createOutputCollector } from './output/collector.ts';
import type { ProgressLine } from './output/progress-lines.ts';
import type { OutputSpool } from './output/spool.ts';
import { type ProcessPlan, planProcess, prepareWorkDir, removeWorkDir } from './process/plan.ts';
import { type ProcessExit, type RunningProcess, runProcess } from './process/run-process.ts';

/** One dispatch being run: its process, or what a built-in does instead. */
export interface Launch {
  /** Makes the work directory meanwhile, while the journal is being written. Starts nothing. */
  prepare(): void;
  /** Once. `onStarted` and then `onEnded` follow, or only `onEnded` when nothing was started. */
  start(): void;
  /** TERM, grace, KILL. */
  stop(): void;
  /** It will not start: takes away what `prepare` made. */
  discard(): void;
}

export interface LaunchSpec {
  readonly runId: string;
  readonly ready: ReadyTask;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly spool: OutputSpool;
  readonly onStarted: (pid: number | undefined) => void;
  readonly onOutput: () => void;
  readonly onProgress: (line: ProgressLine) => void;
  readonly onEnded: (ending: Ending) => void;
}

export interface LaunchContext {
  readonly clock: Clock;
  readonly eventLog: EventLog;
  /** Where that is, as the tasks that write it see it. */
  readonly eventsDirectory: string;
  readonly workRoot: string;
  readonly agentName: string;
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
  readonly path: string;
  readonly home: string;
  readonly view: View;
  readonly outputLimitBytes: number;
  readonly killGraceMs: number;
  /** Resolves when this one may fork. */
  readonly spawnTurn: () => Promise<void>;
}

/** Forking blocks the event loop for milliseconds: the first at once, the others of a burst with a turn of the loop between. */
export function createTurnstile(): () => Promise<void> {
  let last: Promise<void> | undefined;
  return () => {
    const mine = last ?? Promise.resolve();
    const after = mine.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    last = after;
    void after.then(() => {
      if (last === after) last = undefined;
    });
    return mine;
  };
}

export function createLaunch(context: LaunchContext, spec: LaunchSpec): Launch {
  const { runner } = spec.ready.task;
  if (runner.kind !== 'builtin') return processLaunch(context, spec);
  return runner.name === 'ping' ? pingLaunch(context, spec) : eventLaunch(context, spec);
}

/** The built-in `ping`, where it had to wait: for its pack, or for the first session. Otherwise it is answered without a launch. */
function pingLaunch(context: LaunchContext, spec: LaunchSpec): Launch {
  const collector = collectorOf(context, spec);

  async function run(): Promise<void> {
    spec.onStarted(undefined);
    await collector.end();
    spec.onEnded({ end: 'succeeded', code: '', reason: '' });
  }

  return { prepare() {}, start: () => void run(), stop() {}, discard() {} };
}

function processLaunch(context: LaunchContext, spec: LaunchSpec): Launch {
  const { ready, runId } = spec;
  const collector = collectorOf(context, spec);
  const workDir = join(context.workRoot, runId);
  let prepared: Promise<ProcessPlan> | undefined;
  let process: RunningProcess | undefined;
  let stopWanted = false;

  async function prepare(): Promise<ProcessPlan> {
    const plan = planProcess(ready, spec.parameters, { ...context, runId, workDir });
    requireProgram(context.view, plan.argv, context.path);
    await prepareWorkDir(plan);
    return plan;
  }

  async function run(): Promise<void> {
    try {
      prepared ??= prepare();
      const plan = await prepared;
      await context.spawnTurn();
      if (stopWanted) throw new OpenlineError('SPAWN_FAILED', 'it was stopped before its process began');
      const { killGraceMs, clock } = context;
      process = await runProcess(
        clock,
        { argv: plan.argv, env: plan.env, cwd: workDir, killGraceMs },
        { onOutput: collector.write, onEnd: (exit) => void ended(exit) },
      );
      spec.onStarted(process.pid);
      if (stopWanted) process.stop();
    } catch (error) {
      void removeWorkDir(workDir);
      spec.onEnded(notStarted(ready, error));
    }
  }

  async function ended(exit: ProcessExit): Promise<void> {
    await collector.end();
    spec.onEnded(endingOf(exit, ready.task.successCodes));
    await removeWorkDir(workDir);
  }

  return {
    prepare() {
      prepared ??= prepare();
      // Its failure is told when it should start.
      prepared.catch(() => undefined);
    },
    start() {
      void run();
    },
    stop() {
      stopWanted = true;
      process?.stop();
    },
    discard() {
      void prepared?.catch(() => undefined).then(() => removeWorkDir(workDir));
    },
  };
}

/** The built-in `event`: a test event in the agent's own event log, which the rules read. */
function eventLaunch(context: LaunchContext, spec: LaunchSpec): Launch {
  const collector = collectorOf(context, spec);

  async function run(): Promise<void> {
    spec.onStarted(undefined);
    try {
      const { id, source, level, message, data } = spec.parameters;
      const event = newEvent({ id, source, level, message, data });
      if (typeof event === 'string') throw new OpenlineError('EVENT_LOG_FAILED', event);
      const logged = await context.eventLog.append([event]);
      const line = `${JSON.stringify(logged[0])}\n`;
      await collector.write(OutputStream.OUTPUT_STREAM_STDOUT, Buffer.from(line));
      await collector.end();
      spec.onEnded({ end: 'succeeded', code: '', reason: '' });
    } catch (error) {
      const reason = `the event could not be written: ${messageOf(error)}`;
      spec.onEnded({ end: 'failed', code: 'EVENT_LOG_FAILED', reason });
    }
  }

  return { prepare() {}, start: () => void run(), stop() {}, discard() {} };
}

function collectorOf({ clock, outputLimitBytes }: LaunchContext, { spool, onOutput, onProgress }: LaunchSpec) {
  return createOutputCollector({ clock, spool, onKept: onOutput, onProgress }, { limitBytes: outputLimitBytes });
}

/** Exit status decides. */
export function endingOf({ exitCode, signal }: ProcessExit, successCodes: readonly number[]): Ending {
  if (exitCode === undefined) {
    return {
      end: 'failed',
      code: 'TASK_SIGNALLED',
      reason: `${signal ?? 'a signal'} ended it`,
      ...(signal === undefined ? {} : { signal }),
    };
  }
  if (successCodes.includes(exitCode)) return { end: 'succeeded', code: '', reason: '', exitCode };
  return { end: 'failed', code: 'TASK_EXIT_CODE', reason: `it ended with exit code ${exitCode}`, exitCode };
}

function notStarted(ready: ReadyTask, error: unknown): Ending {
  if (error instanceof OpenlineError) return { end: 'failed', code: error.code, reason: error.message };
  const reason = `the work directory of ${ready.task.name} could not be made: ${messageOf(error)}`;
  return { end: 'failed', code: 'SPAWN_FAILED', reason };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
