import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Interpreter } from '@openline/packs';
// Not from the whole of packs: its parser would be most of an idle agent's memory.
import { buildArgv, parameterEnvironment } from '@openline/packs/process';
import { OpenlineError } from '@openline/proto/errors';
import { placed, seenByTasks, type View } from '../../host/view.ts';
import type { ReadyTask } from '../../packs/library.ts';

/** How a task becomes a process: what it is told, and where it works. */
export interface ProcessPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The private work directory, as the agent sees it, also where it starts. */
  readonly workDir: string;
  /** Parameters too large for the environment. */
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** The script, where its process cannot see the one among the packs. */
  readonly script: { readonly from: string; readonly to: string } | undefined;
}

export interface PlanContext {
  readonly runId: string;
  readonly agentName: string;
  readonly workDir: string;
  /** Of the agent's own event log, as its process sees it: `openline event` in a task writes there. */
  readonly eventsDirectory: string;
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
  /** PATH and HOME of the process. */
  readonly path: string;
  readonly home: string;
  readonly view: View;
}

/** Pure. @throws OpenlineError ARGUMENT_TOO_LONG, REQUIREMENTS_NOT_MET */
export function planProcess(
  ready: ReadyTask,
  parameters: Readonly<Record<string, unknown>>,
  context: PlanContext,
): ProcessPlan {
  const { view } = context;
  const given = parameterEnvironment(parameters);
  const files = given.files.map(({ variable, content }) => ({
    variable,
    content,
    path: join(context.workDir, variable),
  }));
  const script = scriptToCopy(ready, context);
  return {
    argv: placed(view, argvOf(ready, parameters, context, script?.to), context.workDir),
    workDir: context.workDir,
    files,
    script,
    // Nothing of the agent's own environment: it may hold secrets, and tasks should behave the same everywhere.
    env: {
      PATH: context.path,
      HOME: context.home,
      LANG: 'C.UTF-8',
      OPENLINE_RUN_ID: context.runId,
      OPENLINE_TASK: `${ready.packName}/${ready.task.name}`,
      OPENLINE_AGENT_NAME: context.agentName,
      OPENLINE_WORK_DIR: seenByTasks(view, context.workDir),
      OPENLINE_AGENT_EVENTS_DIRECTORY: context.eventsDirectory,
      ...view.env,
      ...given.env,
      ...Object.fromEntries(files.map(({ variable, path }) => [variable, seenByTasks(view, path)])),
    },
  };
}

function scriptToCopy({ scriptPath }: ReadyTask, { view, workDir }: PlanContext): ProcessPlan['script'] {
  if (view.access !== 'full' || scriptPath === undefined) return undefined;
  return { from: scriptPath, to: join(workDir, `script${extname(scriptPath)}`) };
}

/** @param copy where the script is instead */
function argvOf(
  ready: ReadyTask,
  parameters: Readonly<Record<string, unknown>>,
  context: PlanContext,
  copy: string | undefined,
): string[] {
  const { runner } = ready.task;
  switch (runner.kind) {
    case 'command':
      return buildArgv(runner, parameters);
    case 'script': {
      const interpreter = context.interpreters[runner.interpreter];
      if (interpreter === undefined || ready.scriptPath === undefined) {
        throw new OpenlineError('REQUIREMENTS_NOT_MET', `${ready.task.name} needs ${runner.interpreter}`);
      }
      return [interpreter, copy === undefined ? ready.scriptPath : seenByTasks(context.view, copy)];
    }
    case 'builtin':
      throw new OpenlineError('INTERNAL', `${ready.task.name} is built in and has no process`);
    default:
      return runner satisfies never;
  }
}

/** @throws the directory, a parameter file or the script cannot be written */
export async function prepareWorkDir(plan: ProcessPlan): Promise<void> {
  await mkdir(plan.workDir, { recursive: true, mode: 0o700 });
  for (const { path, content } of plan.files) await writeFile(path, content, { mode: 0o600, flag: 'wx' });
  if (plan.script !== undefined) await copyFile(plan.script.from, plan.script.to);
}

export async function removeWorkDir(workDir: string): Promise<void> {
  await rm(workDir, { recursive: true, force: true, maxRetries: 2 }).catch(() => undefined);
}
