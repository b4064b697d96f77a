import type { Cluster } from './cluster.ts';
import type { Release } from './release.ts';

/** What a scenario works with. */
export interface Stage {
  readonly cluster: Cluster;
  /** Of the chart, in the namespace `openline`: shared by the scenarios, and begun anew after one that failed. */
  readonly release: Release;
  /** A folder of this session, removed at its end. */
  readonly scratch: string;
  /** What it took to make the cluster, unless it was there, and to load the images. */
  readonly preparedMs: number;
}

export interface Step {
  readonly title: string;
  /** @throws Error with what is wrong */
  perform(): Promise<void>;
}

/** Runs in the order of the list, and alone: its first step installs what it needs. */
export interface Scenario {
  readonly name: string;
  /** What it proves, as a sentence. */
  readonly title: string;
  steps(stage: Stage): readonly Step[];
  /** Namespaces of its own, to look at when it fails. */
  readonly namespaces?: readonly string[];
  /** Leaves the cluster as the next scenario expects it, whatever happened. */
  teardown?(stage: Stage): Promise<void>;
}

export function step(title: string, perform: () => Promise<void>): Step {
  return { title, perform };
}

/** @throws Error unless both are the same; order does not count */
export function expectSame(what: string, found: readonly string[], wanted: readonly string[]): void {
  const [a, b] = [found, wanted].map((list) => list.toSorted().join(', ') || 'none');
  if (a !== b) throw new Error(`${what}: ${a}; expected ${b}`);
}
