import type { Clock } from '../clock.ts';
import type { DispatchDesk } from './desk.ts';
import type { AgentLines } from './lines.ts';
import type { Owed } from './owed-store.ts';
import type { RunStore } from './run-store.ts';

export interface SweeperDeps {
  readonly store: RunStore;
  readonly desk: DispatchDesk;
  readonly clock: Clock;
  readonly lines: Pick<AgentLines, 'isConnected' | 'waiting'>;
  redeliver(owed: readonly Owed[]): void;
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
/** Of the time, at most one part in so many goes into looking for what is unanswered. */
const REDELIVER_SHARE = 20;

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
  let redeliverInMs = 0;
  let wall = clock.now().getTime();
  let monotonic = clock.nowMs();

  async function sweep(): Promise<void> {
    await followClock();
    const now = clock.now();
    const { sentGraceMs, lostAfterMs } = config;
    for (let more = true; more && !stopping.signal.aborted; ) {
      const ended = await store.sweep({ now, sentGraceMs, lostAfterMs });
      desk.changedInStore(ended);
      more = ended.length > 0;
    }
    if (clock.nowMs() - redeliveredMs >= redeliverInMs) await redeliver(now);
    if (sweeps++ % GROOM_EVERY_SWEEPS === 0) {
      await desk.endRuns();
      grooming = true;
    }
    // A piece at a time: what expires does not wait for a long history to be deleted.
    if (grooming) grooming = (await store.groom(new Date(now.getTime() - config.historyMs))) > 0;
  }

  async function redeliver(now: Date): Promise<void> {
    redeliveredMs = clock.nowMs();
    const { unanswered, waiting } = await store.unaccepted(new Date(now.getTime() - config.redeliverAfterMs), now);
    deps.redeliver(unanswered.filter((d) => lines.isConnected(d.agentId)));
    lines.waiting(waiting);
    // It reads every open dispatch: with very many of them, less often.
    const tookMs = clock.nowMs() - redeliveredMs;
    redeliverInMs = Math.max(config.redeliverAfterMs, REDELIVER_SHARE * tookMs);
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
