import { createCluster } from './cluster.ts';
import type { Commands } from './commands.ts';
import { perform } from './perform.ts';
import { buildImages, clusterExists, createKindCluster, loadImages } from './prepare.ts';
import { createRelease } from './release.ts';
import { indent, print, type StepReport, seconds } from './report.ts';
import type { Scenario, Stage } from './scenario.ts';
import { describeState } from './state.ts';

export interface SessionDeps {
  readonly commands: Commands;
  /** Nothing further is begun. */
  readonly signal: AbortSignal;
}

/** A cluster with the images of this checkout. @param name of the cluster, and the tag of the images */
export async function prepare({ commands }: SessionDeps, name: string, scratch: string): Promise<Stage> {
  const begunMs = performance.now();
  print('building the images');
  await buildImages(commands, name);
  const builtMs = performance.now();
  print(`built after ${seconds(builtMs - begunMs)}`);
  // Not beside the build: how long it takes until Openline is there is part of what is looked at.
  if (await clusterExists(commands, name)) {
    print(`using the cluster ${name}`);
    await commands.run('kind', ['export', 'kubeconfig', '--name', name]);
  } else {
    print(`making the cluster ${name}: one control plane, two workers`);
    await createKindCluster(commands, name);
  }
  await loadImages(commands, name, name);
  const preparedMs = performance.now() - builtMs;
  print(`ready after ${seconds(preparedMs)}`);
  const cluster = createCluster(commands, name);
  const release = createRelease(cluster, { namespace: 'openline', tag: name });
  return { cluster, release, scratch, preparedMs };
}

/** One after the other, whatever fails. @param done is told of each step */
export async function runAll(
  { signal }: SessionDeps,
  stage: Stage,
  scenarios: readonly Scenario[],
  done: (step: StepReport) => void,
): Promise<void> {
  for (const scenario of scenarios) {
    const namespaces = [stage.release.namespace, ...(scenario.namespaces ?? [])];
    const atFailure = async (): Promise<void> => print(indent(await describeState(stage.cluster, namespaces)));
    const failed = await perform(scenario, stage, signal, { done, atFailure });
    // Whatever it left is nothing that others should start from.
    if (failed) stage.release.forget();
  }
}
