import { expect, it } from 'vitest';
import { systemClock } from './tasks/clock.ts';
import { startTidying } from './tidy.ts';

/** Runs what is due within so many seconds. */
function byHand() {
  let nowMs = 0;
  let due: { atMs: number; run: () => void } | undefined;
  const after = (delayMs: number, run: () => void) => {
    due = { atMs: nowMs + delayMs, run };
    return {
      cancel() {
        due = undefined;
      },
    };
  };
  return {
    clock: { ...systemClock, after },
    pass(seconds: number) {
      for (const endMs = nowMs + seconds * 1_000; due !== undefined && due.atMs <= endMs; ) {
        nowMs = due.atMs;
        due.run();
      }
    },
  };
}

it('memory is tidied a while after the start and seldom after that, and never while there is work', () => {
  const { clock, pass } = byHand();
  let idle = false;
  let tidied = 0;
  const tidying = startTidying({ clock, idle: () => idle, collect: () => tidied++ });
  pass(100);
  expect(tidied).toBe(0);
  idle = true;
  pass(10);
  expect(tidied).toBe(1);
  pass(3_600);
  expect(tidied).toBe(7);
  tidying.stop();
  pass(3_600);
  expect(tidied).toBe(7);
});
