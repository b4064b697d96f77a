/** Of one agent: beyond it the agent is told at once, since it keeps each result until then. */
const MOST_PER_AGENT = 100;
/** Of all agents: beyond it everybody is told at once, since they are kept in memory here. */
const MOST = 50_000;

/**
 * What is committed and was not yet said to its agent. Nobody waits for that, and what an agent has not heard of it only says again: so it
 * goes with the answer to the agent's next heartbeat, and a run costs no message for it.
 */
export class ResultAcks {
  readonly #sendNow: (byAgent: ReadonlyMap<string, string[]>) => void;
  #byAgent = new Map<string, string[]>();
  #count = 0;

  constructor(sendNow: (byAgent: ReadonlyMap<string, string[]>) => void) {
    this.#sendNow = sendNow;
  }

  add(agentId: string, runId: string): void {
    const runIds = this.#byAgent.get(agentId);
    if (runIds === undefined) this.#byAgent.set(agentId, [runId]);
    else runIds.push(runId);
    this.#count++;
    if (this.#count >= MOST) this.flush();
    else if (runIds !== undefined && runIds.length >= MOST_PER_AGENT) {
      this.#sendNow(new Map([[agentId, this.take(agentId)]]));
    }
  }

  /** For the answer to its heartbeat, or because its session has ended: it will say again what it still has. */
  take(agentId: string): string[] {
    const runIds = this.#byAgent.get(agentId);
    if (runIds === undefined) return [];
    this.#byAgent.delete(agentId);
    this.#count -= runIds.length;
    return runIds;
  }

  flush(): void {
    const byAgent = this.#byAgent;
    this.#byAgent = new Map();
    this.#count = 0;
    if (byAgent.size > 0) this.#sendNow(byAgent);
  }
}
