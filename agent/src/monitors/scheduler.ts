import type { ProbePlan, ProbeResult } from '@openline/packs/engine';
import type { Clock, EngineLog, Timer } from '../tasks/clock.ts';

/** Runs probes, each at its own pace, never two of one monitor at a time, and so many at most together. */
export interface ProbeScheduler {
  /** From now on these. One that stays as it is keeps its pace; one that goes, or changes, is ended if it runs. */
  plan(plans: readonly ProbePlan[]): void;
  /** Ends those that run. */
  stop(): Promise<void>;
}

export interface SchedulerDeps {
  readonly clock: Clock;
  /** [0, 1) */
  readonly random: () => number;
  readonly log: EngineLog;
  /** Resolves soon after the signal is aborted: by the plan's timeout, or because nobody wants it any more. */
  readonly run: (plan: ProbePlan, signal: AbortSignal) => Promise<ProbeResult>;
  readonly result: (plan: ProbePlan, result: ProbeResult) => void;
}

/** The first run of each is somewhere within this, so that agents that start together do not probe together. */
const FIRST_WITHIN_MS = 30_000;

interface Scheduled {
  readonly plan: ProbePlan;
  /** What would have to be the same for it to stay. */
  readonly text: string;
  dueMs: number;
  timer: Timer | undefined;
  waiting: boolean;
  running: AbortController | undefined;
}

export function createProbeScheduler(deps: SchedulerDeps, config: { concurrency: number }): ProbeScheduler {
  const { clock, random, log } = deps;
  const scheduled = new Map<string, Scheduled>();
  const queue: Scheduled[] = [];
  const running = new Set<Promise<void>>();
  let stopped = false;

  function add(plan: ProbePlan, text: string): void {
    const dueMs = clock.nowMs() + random() * Math.min(plan.everyMs, FIRST_WITHIN_MS);
    const one: Scheduled = { plan, text, dueMs, timer: undefined, waiting: false, running: undefined };
    scheduled.set(idOf(plan), one);
    arm(one);
  }

  function remove(one: Scheduled): void {
    scheduled.delete(idOf(one.plan));
    one.timer?.cancel();
    one.running?.abort();
    const at = queue.indexOf(one);
    if (at >= 0) queue.splice(at, 1);
  }

  function arm(one: Scheduled): void {
    one.timer = clock.after(Math.max(0, one.dueMs - clock.nowMs()), () => due(one));
  }

  function due(one: Scheduled): void {
    const { everyMs } = one.plan;
    // On its own grid; what a sleeping machine missed is left out.
    one.dueMs += everyMs * Math.max(1, Math.ceil((clock.nowMs() - one.dueMs) / everyMs));
    arm(one);
    if (one.waiting || one.running !== undefined) return;
    one.waiting = true;
    queue.push(one);
    startNext();
  }

  function startNext(): void {
    while (!stopped && running.size < config.concurrency) {
      const one = queue.shift();
      if (one === undefined) return;
      one.waiting = false;
      const run = runOne(one).finally(() => {
        running.delete(run);
        startNext();
      });
      running.add(run);
    }
  }

  async function runOne(one: Scheduled): Promise<void> {
    const abort = new AbortController();
    one.running = abort;
    const timer = clock.after(one.plan.timeoutMs, () => abort.abort());
    let result: ProbeResult;
    try {
      result = await deps.run(one.plan, abort.signal);
    } catch (error) {
      log.error({ monitor: idOf(one.plan), error }, 'a probe failed in a way that nobody foresaw');
      result = { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
    timer.cancel();
    one.running = undefined;
    if (!stopped && scheduled.get(idOf(one.plan)) === one) deps.result(one.plan, result);
  }

  return {
    plan(plans) {
      if (stopped) return;
      const wanted = new Map(plans.map((plan) => [idOf(plan), { plan, text: JSON.stringify(plan) }]));
      for (const [id, one] of scheduled) if (wanted.get(id)?.text !== one.text) remove(one);
      for (const [id, { plan, text }] of wanted) if (!scheduled.has(id)) add(plan, text);
    },
    async stop() {
      stopped = true;
      for (const one of [...scheduled.values()]) remove(one);
      await Promise.all(running);
    },
  };
}

function idOf({ monitor }: ProbePlan): string {
  return `${monitor.pack}/${monitor.name}`;
}
