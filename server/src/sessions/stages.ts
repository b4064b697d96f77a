import type { DispatchChange } from '../runs/dispatch.ts';

export type Stage = 'sent_accepted' | 'accepted_started' | 'ended_durable';

/** Beyond this many dispatches under way, the rest is not timed: a measurement must not cost memory without bound. */
const TIMED_AT_ONCE = 100_000;

/** Times what dispatches wait for, by this process's own clock; only what happens within the agent is taken from its reports. */
export class StageTimer {
  readonly #observe: (stage: Stage, seconds: number) => void;
  readonly #sentMs = new Map<string, number>();
  readonly #resultMs = new Map<string, number>();

  constructor(observe: (stage: Stage, seconds: number) => void) {
    this.#observe = observe;
  }

  sent(runId: string, agentId: string, nowMs: number): void {
    start(this.#sentMs, `${runId} ${agentId}`, nowMs);
  }

  reported({ runId, agentId, acceptedAt, startedAt, endedAt }: DispatchChange, nowMs: number): void {
    const key = `${runId} ${agentId}`;
    this.#finish(this.#sentMs, key, 'sent_accepted', nowMs);
    if (endedAt === undefined) return;
    if (startedAt !== undefined && acceptedAt !== undefined) {
      this.#observe('accepted_started', Math.max(0, startedAt.getTime() - acceptedAt.getTime()) / 1000);
    }
    start(this.#resultMs, key, nowMs);
  }

  durable(runId: string, agentId: string, nowMs: number): void {
    this.#finish(this.#resultMs, `${runId} ${agentId}`, 'ended_durable', nowMs);
  }

  #finish(since: Map<string, number>, key: string, stage: Stage, nowMs: number): void {
    const startMs = since.get(key);
    if (startMs === undefined) return;
    since.delete(key);
    this.#observe(stage, (nowMs - startMs) / 1000);
  }
}

function start(since: Map<string, number>, key: string, nowMs: number): void {
  // What never gets an answer would stay for ever.
  if (since.size >= TIMED_AT_ONCE) since.clear();
  since.set(key, nowMs);
}
