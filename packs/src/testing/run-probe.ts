import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ProbeResult, sampleOfProcess } from '../engine/index.ts';
import type { PackMonitor, Settings } from '../monitoring.ts';
import { buildArgv, parameterEnvironment } from '../process.ts';
import { runHere } from './run-task.ts';

/** Runs a monitor's process for real, as an agent would, and reads its sample, for tests of packs. @param more variables of the agent, or others instead of its */
export async function runProbe(
  monitor: PackMonitor,
  settings: Settings = {},
  more: Readonly<Record<string, string>> = {},
): Promise<ProbeResult> {
  const { input } = monitor;
  if (input.kind !== 'probe' || input.probe.kind !== 'run') throw new Error(`${monitor.name} starts no process`);
  const { runner, output } = input.probe;
  const all = { ...monitor.settings, ...settings };
  const workDir = await mkdtemp(join(tmpdir(), 'openline-probe-'));
  try {
    const { env } = parameterEnvironment(all);
    const script = join(workDir, 'probe');
    if (runner.kind === 'script') await writeFile(script, runner.source);
    const argv = runner.kind === 'script' ? [runner.interpreter, script] : buildArgv(runner, all);
    const { exitCode, stdout, stderr } = await runHere(argv, workDir, { ...env, ...more }, input.timeoutMs);
    return sampleOfProcess(output, { exitCode: exitCode ?? undefined, stdout, stderr });
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}
