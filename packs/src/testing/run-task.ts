import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PackTask } from '../pack.ts';
import { compileParameters } from '../parameters.ts';
import { buildArgv, parameterEnvironment } from '../process.ts';

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a task's process for real, as an agent would, for tests of packs. Killed after `timeoutMs`. @param surroundings variables on top of the agent's */
export async function runTask(
  task: PackTask,
  parameters: unknown,
  timeoutMs = 30_000,
  surroundings: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const values = compileParameters(task)(parameters);
  const workDir = await mkdtemp(join(tmpdir(), 'openline-task-'));
  try {
    const { env, files } = parameterEnvironment(values);
    const paths: Record<string, string> = {};
    for (const { variable, content } of files) {
      paths[variable] = join(workDir, variable);
      await writeFile(join(workDir, variable), content, { mode: 0o600 });
    }
    const argv = await argvOf(task, values, workDir);
    return await runHere(argv, workDir, { ...env, ...paths, ...surroundings }, timeoutMs);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function argvOf(task: PackTask, values: Readonly<Record<string, unknown>>, workDir: string): Promise<string[]> {
  const { runner } = task;
  if (runner.kind === 'builtin') throw new Error(`${task.name} is built in and has no process`);
  if (runner.kind === 'command') return buildArgv(runner, values);
  const script = join(workDir, 'script');
  await writeFile(script, runner.source);
  return [runner.interpreter, script];
}

/** A process with the surroundings that an agent gives it. @param env on top of them */
export function runHere(
  argv: readonly string[],
  workDir: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = argv;
    const child = spawn(program, args, {
      cwd: workDir,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/', LANG: 'C.UTF-8', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
}
