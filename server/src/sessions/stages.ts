import type { TaskReports } from '@openline/proto/agent';

export type Stage = 'sent_accepted' | 'accepted_started';

/** Beyond this many runs under way the oldest is not timed any more: a measurement must not cost memory without bound. */
const TIMED_RUNS = 10_000;

/**
 * Times what dispatches wait for, by this process's own clock; only what happens within the agent is taken from its reports. All targets of
 * a broadcast are sent within milliseconds, so one time for each run is enough, and costs a fan-out nothing.
 */
export class StageTimer {
  readonly #observe: (stage: Stage, seconds: number) => void;
  readonly #sentMs = new Map<string, number>();

  constructor(observe: (stage: Stage, seconds: number) => void) {
    this.#observe = observe;
  }

  sent(runId: string, nowMs: number): void {
    if (this.#sentMs.size >= TIMED_RUNS) {
      const [oldest] = this.#sentMs.keys();
      if (oldest !== undefined) this.#sentMs.delete(oldest);
    }
    this.#sentMs.set(runId, nowMs);
  }

  reported({ accepted, results }: TaskReports, nowMs: number): void {
    for (const { runId } of accepted) {
      const sentMs = this.#sentMs.get(runId);
      if (sentMs !== undefined) this.#observe('sent_accepted', (nowMs - sentMs) / 1000);
    }
    for (const { acceptedUnixMs, startedUnixMs } of results) {
      if (startedUnixMs > 0n)
        this.#observe('accepted_started', Math.max(0, Number(startedUnixMs - acceptedUnixMs)) / 1000);
    }
  }
}
