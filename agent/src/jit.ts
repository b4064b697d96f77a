import { setFlagsFromString } from 'node:v8';
import type { Clock } from './tasks/clock.ts';

/** An agent starts without optimising compilers (lean.ts). When events really flow they are worth their memory. */
export interface JitSwitch {
  /** @param usedMs of the processor, milliseconds */
  took(events: number, usedMs: number): void;
}

/** Within a second. */
const BUSY_EVENTS = 1_000;
/** What takes so much of the processor within a few seconds is worth it, too: without them events may be too slow to be many. */
const BUSY_MS = 400;
const USED_WITHIN_MS = 4_000;
const FLAGS = ['--opt', '--maglev', '--sparkplug', '--no-optimize-for-size'];

/** @param turnOn once; default: V8's */
export function createJitSwitch(
  clock: Clock,
  turnOn: () => void = () => {
    for (const flag of FLAGS) setFlagsFromString(flag);
  },
): JitSwitch {
  let on = false;
  let sinceMs = Number.NEGATIVE_INFINITY;
  let events = 0;
  let usedSinceMs = Number.NEGATIVE_INFINITY;
  let used = 0;
  return {
    took(more, usedMs) {
      if (on || more === 0) return;
      const nowMs = clock.nowMs();
      if (nowMs - sinceMs > 1_000) {
        sinceMs = nowMs;
        events = 0;
      }
      if (nowMs - usedSinceMs > USED_WITHIN_MS) {
        usedSinceMs = nowMs;
        used = 0;
      }
      events += more;
      used += usedMs;
      if (events <= BUSY_EVENTS && used <= BUSY_MS) return;
      on = true;
      turnOn();
    },
  };
}
