// `npm run test:kind`: Openline on a real Kubernetes, installed by Helm as its users do it.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Commands, createCommands } from './commands.ts';
import { type Options, readOptions } from './options.ts';
import { deleteKindCluster, removeImages } from './prepare.ts';
import { count, print, type StepReport, writeReport } from './report.ts';
import { prepare, runAll } from './session.ts';
import { missingTools } from './tools.ts';

/** Ctrl-C may reach us twice, from the terminal and from npm: what comes within this is one. */
const SAME_SIGNAL_MS = 500;
const EXIT_CODES: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

const options = readOptions(process.argv.slice(2));
process.exitCode = typeof options === 'number' ? options : await main(options);
// Whatever a step that was cut short still waits for.
process.exit();

async function main({ scenarios, cluster, keep, report }: Options): Promise<number> {
  const name = cluster ?? `openline-test-${randomBytes(2).toString('hex')}`;
  const scratch = mkdtempSync(join(tmpdir(), 'openline-kind-'));
  const env = { KUBECONFIG: join(scratch, 'kubeconfig') };
  const stopping = new AbortController();
  const deps = { commands: createCommands(env, stopping.signal), signal: stopping.signal };
  const missing = await missingTools(deps.commands);
  if (missing.length > 0) {
    console.error(`test:kind needs what does not work here:\n${missing.join('\n')}`);
    return 2;
  }
  const steps: StepReport[] = [];
  const work = async (): Promise<number> => {
    const stage = await prepare(deps, name, scratch);
    await runAll(deps, stage, scenarios, (step) => steps.push(step));
    return count(steps).failed > 0 ? 1 : 0;
  };
  try {
    return await Promise.race([work(), interrupted(stopping)]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    // What still runs, such as a port-forward, ends; what follows is not ended by it.
    stopping.abort();
    await cleanUp(createCommands(env, new AbortController().signal), name, keep);
    rmSync(scratch, { recursive: true, force: true });
    if (report !== undefined) writeReport(report, steps);
    const { passed, failed, skipped } = count(steps);
    print(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}

/** Resolves with an exit code at the first signal; the second ends the process as it is. */
function interrupted(stopping: AbortController): Promise<number> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    for (const [signal, code] of Object.entries(EXIT_CODES)) {
      process.on(signal, () => {
        if (firstMs !== undefined && performance.now() - firstMs > SAME_SIGNAL_MS) process.exit(code);
        if (firstMs === undefined) print(`\n${signal}: cleaning up; once more leaves everything as it is`);
        firstMs ??= performance.now();
        stopping.abort();
        resolve(code);
      });
    }
  });
}

async function cleanUp(commands: Commands, cluster: string, keep: boolean): Promise<void> {
  await removeImages(commands, cluster);
  if (keep) {
    print(`\nthe cluster ${cluster} stays: kind export kubeconfig --name ${cluster}`);
    print(`to delete it: kind delete cluster --name ${cluster}`);
    return;
  }
  await deleteKindCluster(commands, cluster).catch((error: unknown) => console.error(error));
}
