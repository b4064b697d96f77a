import type { Clock } from '../clock.ts';
import type { Evidence } from './diagnosis.ts';
import type { Prober, Target } from './probes.ts';

export interface LookoutDeps {
  readonly prober: Prober;
  targets(agentIds: readonly string[]): Promise<ReadonlyMap<string, Target>>;
  readonly clock: Pick<Clock, 'nowMs'>;
  found(agentId: string, evidence: Evidence): void;
  onFailure(error: unknown): void;
}

/** Nodes that are looked at at a time, and agents that may wait for it: a look takes seconds where nothing answers. */
const AT_ONCE = 32;
const MAX_WAITING = 512;

/** Looks at the nodes of lost lines, a bounded number at a time. What is beyond stays unknown: of a thousand a few tell as much. */
export class Lookout {
  readonly #deps: LookoutDeps;
  readonly #waiting = new Set<string>();
  readonly #lookedMs = new Map<string, number>();
  #underWay = 0;

  constructor(deps: LookoutDeps) {
    this.#deps = deps;
  }

  look(agentIds: Iterable<string>): void {
    for (const id of agentIds) {
      if (this.#waiting.size >= MAX_WAITING) break;
      this.#waiting.add(id);
    }
    void this.#work();
  }

  /** Those that were not looked at for so long. */
  lookAgain(agentIds: readonly string[], afterMs: number): void {
    const nowMs = this.#deps.clock.nowMs();
    const known = new Set(agentIds);
    for (const id of this.#lookedMs.keys()) if (!known.has(id)) this.#lookedMs.delete(id);
    this.look(agentIds.filter((id) => nowMs - (this.#lookedMs.get(id) ?? Number.NEGATIVE_INFINITY) >= afterMs));
  }

  async #work(): Promise<void> {
    while (this.#waiting.size > 0 && this.#underWay < AT_ONCE) {
      const batch = [...this.#waiting].slice(0, AT_ONCE - this.#underWay);
      for (const id of batch) this.#waiting.delete(id);
      this.#underWay += batch.length;
      try {
        const targets = await this.#deps.targets(batch);
        await Promise.all(batch.map((id) => this.#lookAt(id, targets.get(id))));
      } catch (error) {
        this.#deps.onFailure(error);
      } finally {
        this.#underWay -= batch.length;
      }
    }
  }

  async #lookAt(agentId: string, target: Target | undefined): Promise<void> {
    this.#lookedMs.set(agentId, this.#deps.clock.nowMs());
    if (target !== undefined) this.#deps.found(agentId, await this.#deps.prober.look(target));
  }
}
