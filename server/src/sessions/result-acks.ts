/**
 * Acknowledgements of results wait this long for company: nobody waits for them, and what an agent has not heard of it only says again.
 * So a burst of runs costs an agent one acknowledgement, and none is sent while results are still coming in.
 */
const DELAY_MS = 1_000;

/** Collects what is durable, by agent, and sends it as one message to each. */
export class ResultAcks {
  readonly #send: (byAgent: ReadonlyMap<string, string[]>) => void;
  #byAgent = new Map<string, string[]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (byAgent: ReadonlyMap<string, string[]>) => void) {
    this.#send = send;
  }

  add(agentId: string, runId: string): void {
    const runIds = this.#byAgent.get(agentId);
    if (runIds === undefined) this.#byAgent.set(agentId, [runId]);
    else runIds.push(runId);
    this.#timer ??= setTimeout(() => this.flush(), DELAY_MS);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const byAgent = this.#byAgent;
    this.#byAgent = new Map();
    if (byAgent.size > 0) this.#send(byAgent);
  }
}
