import { expect, it } from 'vitest';
import type { Clock } from '../clock.ts';
import type { RunStore } from './run-store.ts';
import { startSweeper } from './sweeper.ts';

it('an agent that does not answer is told again at intervals, not with every sweep', async () => {
  let nowMs = 0;
  const asked: number[] = [];
  const done = Promise.withResolvers<void>();
  const clock: Clock = {
    nowMs: () => nowMs,
    now: () => new Date(nowMs),
    async sleep(ms, signal) {
      nowMs += ms;
      if (nowMs < 31_000) return;
      done.resolve();
      await new Promise((resolve) => signal?.addEventListener('abort', resolve));
    },
  };
  const store: Partial<RunStore> = {
    sweep: async () => [],
    groom: async () => 0,
    unaccepted: async () => {
      asked.push(nowMs);
      return [];
    },
  };
  const nothing = async () => {};
  const sweeper = startSweeper(
    {
      store: store as RunStore,
      desk: {
        change() {},
        output() {},
        opened() {},
        changedInStore() {},
        start: nothing,
        recount: nothing,
        idle: nothing,
        fault: () => undefined,
      },
      clock,
      lines: { isConnected: () => true, sendTask() {}, sendControl() {} },
      redeliver() {},
      onFailure(error) {
        throw error;
      },
      onClockJump() {},
    },
    { sweepIntervalMs: 1_000, redeliverAfterMs: 10_000, sentGraceMs: 0, lostAfterMs: 0, historyMs: 0 },
  );
  await done.promise;
  await sweeper.stop();
  expect(asked).toEqual([0, 10_000, 20_000, 30_000]);
});
