import { expect, it } from 'vitest';
import { systemClock } from '../tasks/clock.ts';
import { watchEventLoop } from './event-loop.ts';

it('the delay of the event loop is the worst of each window, and of a window that is over', () => {
  let nowMs = 0;
  let run = () => {};
  const clock = {
    ...systemClock,
    nowMs: () => nowMs,
    after: (_delayMs: number, due: () => void) => {
      run = due;
      return { cancel: () => undefined };
    },
  };
  const look = (lateMs: number) => {
    nowMs += 500 + lateMs;
    run();
  };
  const shown: number[] = [];
  const stop = watchEventLoop({ set: (seconds) => shown.push(seconds) }, clock);
  look(0);
  look(40);
  for (let i = 0; i < 27; i++) look(2);
  expect(shown).toEqual([]);
  look(10);
  expect(shown).toEqual([0.04]);
  for (let i = 0; i < 30; i++) look(1);
  expect(shown).toEqual([0.04, 0.001]);
  stop();
});
