import { setFlagsFromString } from 'node:v8';
import type { Clock } from './tasks/clock.ts';

/** An agent starts without optimising compilers (lean.ts). When events really flow they are worth their memory. */
export interface JitSwitch {
  took(events: number): void;
}

/** Within a second. */
const BUSY_EVENTS = 1_000;
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
  return {
    took(more) {
      if (on || more === 0) return;
      const nowMs = clock.nowMs();
      if (nowMs - sinceMs > 1_000) {
        sinceMs = nowMs;
        events = 0;
      }
      events += more;
      if (events <= BUSY_EVENTS) return;
      on = true;
      turnOn();
    },
  };
}
