import { Bell } from '../bell.ts';

/** Tells who watches a run that something of it was committed. Carries no data: the database is the truth, a watcher reads it there. */
export interface RunHub {
  /** @param agentIds what changed; undefined: the run itself */
  publish(runId: string, agentIds: readonly string[] | undefined): void;
  /** @returns a function that ends the subscription */
  subscribe(runId: string, listener: (agentIds: readonly string[] | undefined) => void): () => void;
}

export function createRunHub(): RunHub {
  const listeners = new Map<string, Set<(agentIds: readonly string[] | undefined) => void>>();
  return {
    publish(runId, agentIds) {
      for (const listener of listeners.get(runId) ?? []) listener(agentIds);
    },
    subscribe(runId, listener) {
      const set = listeners.get(runId) ?? new Set();
      listeners.set(runId, set.add(listener));
      return () => {
        set.delete(listener);
        if (set.size === 0 && listeners.get(runId) === set) listeners.delete(runId);
      };
    },
  };
}

/** What one watcher has not read yet; `next` waits until there is something. */
export class Changes {
  readonly #agents = new Set<string>();
  #run = false;
  readonly #bell = new Bell();

  add(agentIds: readonly string[] | undefined): void {
    if (agentIds === undefined) this.#run = true;
    else for (const id of agentIds) this.#agents.add(id);
    this.#bell.ring();
  }

  /** @returns undefined when the signal aborted */
  async next(signal: AbortSignal): Promise<string[] | undefined> {
    while (this.#agents.size === 0 && !this.#run && !signal.aborted) await this.#bell.wait(signal);
    if (signal.aborted) return undefined;
    const agents = [...this.#agents];
    this.#agents.clear();
    this.#run = false;
    return agents;
  }
}
