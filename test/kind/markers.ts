import type { RunDocument } from '../../cli/src/views/run.ts';
import { eventually } from '../harness/eventually.ts';
import { expectSame, type Stage } from './scenario.ts';

/** Beside the journal, where it survives the pods. */
const FILE = '/var/lib/openline/agent/kind-markers';

/** Parameters of utility/shell: it says on its node's disk that it was started, before it does anything else. */
export function marking(marker: string, then = 'true'): readonly string[] {
  return ['--param', `script=echo ${marker} >> ${FILE}; ${then}`];
}

/** Node → the markers of all tasks that were started there. */
type Started = ReadonlyMap<string, readonly string[]>;

export async function started({ cluster, release }: Stage): Promise<Started> {
  const found = new Map<string, readonly string[]>();
  for (const { metadata, spec } of await release.pods('agent')) {
    const read = `cat ${FILE} 2>/dev/null || true`;
    const text = await cluster.kubectl`exec -n ${release.namespace} ${metadata.name} -c agent -- sh -c ${read}`;
    found.set(spec.nodeName ?? metadata.name, text.split('\n'));
  }
  return found;
}

function times(of: Started, node: string, marker: string): number {
  return (of.get(node) ?? []).filter((line) => line === marker).length;
}

export function expectOnce(of: Started, marker: string): void {
  const counts = [...of.keys()].map((node) => `${node} ${times(of, node, marker)}`);
  const wanted = [...of.keys()].map((node) => `${node} 1`);
  expectSame(`starts of ${marker}`, counts, wanted);
}

export async function expectStartedOnce(stage: Stage, marker: string): Promise<void> {
  expectOnce(await started(stage), marker);
}

/** @returns the id of a run of utility/shell that is under way on every node */
export async function beginEverywhere(stage: Stage, marker: string, then: string): Promise<string> {
  const run = await stage.release.begin`utility/shell --on all ${marking(marker, then)}`;
  await eventually(() => expectStartedOnce(stage, marker).then(() => true), {
    what: 'the task to run on every node',
    intervalMs: 500,
  });
  return run;
}

/** Each node is a target, and ended so. @param end the state, and where there is one the code of the reason */
export async function expectEnds({ cluster }: Stage, { dispatches }: RunDocument, end: string): Promise<void> {
  const ends = dispatches.map(({ agent, state, reasonCode }) => [agent, state, reasonCode].filter(Boolean).join(' '));
  const wanted = (await cluster.nodes()).map((node) => `${node} ${end}`);
  expectSame('ends', ends, wanted);
}

/** Where agents are replaced meanwhile: each target has its result and was started once, or was stopped with its agent, and started once at most. */
export function expectAtMostOnce(of: Started, marker: string, { dispatches }: RunDocument): void {
  const targets = dispatches.map(({ agent }) => agent);
  expectSame(`targets of ${marker}`, targets, [...of.keys()]);
  for (const { agent, state, reasonCode } of dispatches) {
    const count = times(of, agent, marker);
    const fine = state === 'succeeded' ? count === 1 : reasonCode === 'AGENT_STOPPED' && count <= 1;
    if (!fine) throw new Error(`${marker} on ${agent}: ${state} (${reasonCode}), started ${count} times`);
  }
}
