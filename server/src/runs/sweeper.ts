import type { Clock } from '../clock.ts';
import type { DispatchDesk } from './desk.ts';
import type { AgentLines } from './lines.ts';
import type { OwedDispatch, RunStore } from './run-store.ts';

export interface SweeperDeps {
  readonly store: RunStore;
  readonly desk: DispatchDesk;
  readonly clock: Clock;
  readonly lines: AgentLines;
  redeliver(owed: readonly OwedDispatch[]): void;
  onFailure(error: unknown): void;
  /** The wall clock jumped by so much. */
  onClockJump(byMs: number): void;
}

export interface SweeperConfig {
  readonly sweepIntervalMs: number;
  /** How long an agent may leave a task unanswered; then it is told again, as often. */
  readonly redeliverAfterMs: number;
  readonly sentGraceMs: number;
  readonly lostAfterMs: number;
  readonly historyMs: number;
}

/** Jumps below this are ordinary corrections. */
const CLOCK_JUMP_MS = 5_000;
const GROOM_EVERY_SWEEPS = 120;

/**
 * What time alone decides: unstarted dispatches expire, silent ones are lost, unanswered ones are said again, old history goes.
 * One sweep at a time; a sweep that fails is simply made again.
 */
export function startSweeper(deps: SweeperDeps, config: SweeperConfig): { stop(): Promise<void> } {
  const { store, desk, clock, lines } = deps;
  const stopping = new AbortController();
  let sweeps = 0;
  let grooming = false;
  let redeliveredMs = Number.NEGATIVE_INFINITY;
  let wall = clock.now().getTime();
  let monotonic = clock.nowMs();

  async function sweep(): Promise<void> {
    await followClock();
    const now = clock.now();
    desk.changedInStore(await store.sweep({ now, sentGraceMs: config.sentGraceMs, lostAfterMs: config.lostAfterMs }));
    if (clock.nowMs() - redeliveredMs >= config.redeliverAfterMs) await redeliver(now);
    if (sweeps++ % GROOM_EVERY_SWEEPS === 0) {
      await desk.recount();
      grooming = true;
    }
    // A piece at a time: what expires does not wait for a long history to be deleted.
    if (grooming) grooming = (await store.groom(new Date(now.getTime() - config.historyMs))) > 0;
  }

  async function redeliver(now: Date): Promise<void> {
    redeliveredMs = clock.nowMs();
    const unanswered = await store.unaccepted(new Date(now.getTime() - config.redeliverAfterMs), now);
    const again = unanswered.filter((d) => lines.isConnected(d.agentId));
    const queued = new Map<string, string[]>();
    for (const d of again) if (d.state === 'queued') queued.set(d.runId, [...(queued.get(d.runId) ?? []), d.agentId]);
    for (const [runId, agentIds] of queued) await store.markSent(runId, agentIds, now);
    deps.redeliver(again);
  }

  /** Deadlines are stored as times of day. When somebody moves the clock, they move with it. */
  async function followClock(): Promise<void> {
    const elapsed = clock.nowMs() - monotonic;
    const jump = clock.now().getTime() - wall - elapsed;
    if (Math.abs(jump) >= CLOCK_JUMP_MS) {
      deps.onClockJump(jump);
      await store.shiftDeadlines(jump);
    }
    wall = clock.now().getTime();
    monotonic = clock.nowMs();
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await sweep();
      } catch (error) {
        deps.onFailure(error);
      }
      await clock.sleep(config.sweepIntervalMs, stopping.signal);
    }
  })();

  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
