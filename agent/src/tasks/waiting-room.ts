import type { Clock, Timer } from './clock.ts';
import type { Run } from './run.ts';

/** Accepted dispatches that do not run yet: first come, first served for slots; nobody waits beyond its time to live. */
export interface WaitingRoom {
  /** It waits: for the disk, for its pack or for a slot. */
  enter(run: Run): void;
  /** It waits for a slot. */
  enqueue(run: Run): void;
  /** Whose turn it is; it leaves. */
  next(): Run | undefined;
  leave(run: Run): void;
  size(): number;
  /** Parameters of all that wait. */
  bytes(): number;
  /** How many wait for a slot. */
  queued(): number;
  /** 1: next. */
  positionOf(run: Run): number | undefined;
  close(): void;
}

export function createWaitingRoom(clock: Clock, onExpired: (run: Run) => void): WaitingRoom {
  const all = new Set<Run>();
  const queue = new Set<Run>();
  let timer: Timer | undefined;
  let timerAtMs = Number.POSITIVE_INFINITY;

  function arm(atMs: number): void {
    if (atMs >= timerAtMs) return;
    timer?.cancel();
    timerAtMs = atMs;
    timer = clock.after(atMs - clock.nowMs(), expire);
  }

  function expire(): void {
    timer = undefined;
    timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = clock.nowMs();
    for (const run of [...all]) {
      if (run.expiresAtMs <= nowMs) onExpired(run);
      else arm(run.expiresAtMs);
    }
  }

  function leave(run: Run): void {
    all.delete(run);
    queue.delete(run);
    if (all.size > 0 || timer === undefined) return;
    timer.cancel();
    timer = undefined;
    timerAtMs = Number.POSITIVE_INFINITY;
  }

  return {
    enter(run) {
      all.add(run);
      arm(run.expiresAtMs);
    },
    enqueue: (run) => queue.add(run),
    next() {
      for (const run of queue) {
        leave(run);
        if (run.expiresAtMs > clock.nowMs()) return run;
        onExpired(run);
      }
      return undefined;
    },
    leave,
    size: () => all.size,
    bytes() {
      let bytes = 0;
      for (const run of all) bytes += run.task?.parametersJson.length ?? 0;
      return bytes;
    },
    queued: () => queue.size,
    positionOf(run) {
      const index = [...queue].indexOf(run);
      return index < 0 ? undefined : index + 1;
    },
    close: () => timer?.cancel(),
  };
}
