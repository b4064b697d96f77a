import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Interpreter, Probe } from '@openline/packs';
import type { ProbePlan, ProbeResult } from '@openline/packs/engine';
import { buildArgv, parameterEnvironment } from '@openline/packs/process';
import { OutputStream } from '@openline/proto/agent';
import { requireProgram } from '../../host/require.ts';
import { placed, seenByTasks, type View } from '../../host/view.ts';
import type { Clock } from '../../tasks/clock.ts';
import { type ProcessExit, type RunningProcess, runProcess } from '../../tasks/process/run-process.ts';

type RunProbe = Extract<Probe, { kind: 'run' }>;

export interface ProbeProcessContext {
  readonly clock: Clock;
  readonly agentName: string;
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
  /** PATH and HOME of the processes. */
  readonly path: string;
  readonly home: string;
  readonly view: View;
  /** A directory below it for each probe, while it runs. */
  readonly workRoot: string;
  readonly killGraceMs: number;
  /** In the environment of each, so that those that a killed agent left behind are found. */
  readonly cookie: string;
}

export interface ProcessOutcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_STDOUT_BYTES = 256 * 1024;
const MAX_STDERR_BYTES = 16 * 1024;

/** Runs a probe's command or script as a task would be run, and hands what it said to `judge`. Ends its whole process group when aborted. */
export async function runProbeProcess(
  context: ProbeProcessContext,
  plan: ProbePlan,
  probe: RunProbe,
  judge: (outcome: ProcessOutcome) => ProbeResult,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { view } = context;
  const { pack, name } = plan.monitor;
  const workDir = join(context.workRoot, pack, name);
  try {
    await rm(workDir, { recursive: true, force: true });
    await mkdir(workDir, { recursive: true, mode: 0o700 });
    const argv = placed(view, await argvOf(context, plan, probe, workDir), workDir);
    requireProgram(view, argv, context.path);
    const { env, files } = parameterEnvironment(plan.settings);
    const paths: Record<string, string> = {};
    for (const { variable, content } of files) {
      paths[variable] = seenByTasks(view, join(workDir, variable));
      await writeFile(join(workDir, variable), content, { mode: 0o600, flag: 'wx' });
    }
    const fixed = {
      PATH: context.path,
      HOME: context.home,
      LANG: 'C.UTF-8',
      OPENLINE_RUN_ID: context.cookie,
      OPENLINE_MONITOR: `${pack}/${name}`,
      OPENLINE_AGENT_NAME: context.agentName,
      OPENLINE_WORK_DIR: seenByTasks(view, workDir),
      ...view.env,
    };
    if (signal.aborted) return tooLate(plan);
    const ended = await run(context, argv, { ...fixed, ...env, ...paths }, workDir, signal);
    if (signal.aborted) return tooLate(plan);
    if (ended.cut) return { ok: false, error: `it printed more than ${MAX_STDOUT_BYTES} bytes` };
    return judge(ended);
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  } finally {
    await rm(workDir, { recursive: true, force: true, maxRetries: 2 }).catch(() => undefined);
  }
}

async function argvOf(
  { interpreters, view }: ProbeProcessContext,
  plan: ProbePlan,
  { runner }: RunProbe,
  workDir: string,
): Promise<string[]> {
  switch (runner.kind) {
    case 'command':
      return buildArgv(runner, plan.settings);
    case 'script': {
      const interpreter = interpreters[runner.interpreter];
      if (interpreter === undefined) throw new Error(`this machine has no ${runner.interpreter}`);
      const path = join(
        workDir,
        `probe${runner.interpreter === 'node' ? '.mjs' : runner.interpreter === 'pwsh' ? '.ps1' : ''}`,
      );
      await writeFile(path, runner.source, { mode: 0o500, flag: 'wx' });
      return [interpreter, seenByTasks(view, path)];
    }
    default:
      return runner satisfies never;
  }
}

function run(
  { clock, killGraceMs }: ProbeProcessContext,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  signal: AbortSignal,
): Promise<ProcessOutcome & { cut: boolean }> {
  const stdout = kept(MAX_STDOUT_BYTES);
  const stderr = kept(MAX_STDERR_BYTES);
  return new Promise((resolve, reject) => {
    let running: RunningProcess | undefined;
    const stop = () => running?.stop();
    const onEnd = ({ exitCode }: ProcessExit) => {
      signal.removeEventListener('abort', stop);
      resolve({ exitCode, stdout: stdout.text(), stderr: stderr.text(), cut: stdout.cut() });
    };
    const onOutput = (stream: OutputStream, bytes: Buffer) => {
      (stream === OutputStream.OUTPUT_STREAM_STDOUT ? stdout : stderr).add(bytes);
      return undefined;
    };
    runProcess(clock, { argv, env, cwd, killGraceMs }, { onOutput, onEnd }).then((started) => {
      running = started;
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    }, reject);
  });
}

function kept(most: number) {
  const parts: Buffer[] = [];
  let bytes = 0;
  return {
    add(part: Buffer) {
      if (bytes < most) parts.push(part.subarray(0, most - bytes));
      bytes += part.length;
    },
    text: () => Buffer.concat(parts).toString(),
    cut: () => bytes > most,
  };
}

function tooLate({ timeoutMs }: ProbePlan): ProbeResult {
  return { ok: false, error: `it did not end within ${timeoutMs / 1_000} s` };
}
