import { expect, it } from 'vitest';
import type { Clock } from '../clock.ts';
import type { RunStore } from './run-store.ts';
import { startSweeper } from './sweeper.ts';

it('an agent that does not answer is told again at intervals, not with every sweep', async () => {
  expect(await askedWhen(0, 31_000)).toEqual([0, 10_000, 20_000, 30_000]);
});

it('it is looked for less often when there are so many open dispatches that the look takes long', async () => {
  expect(await askedWhen(2_000, 90_000)).toEqual([0, 40_000, 80_000]);
});

it('what expired at once is ended at once, however many pieces that takes', async () => {
  const pieces = [2, 1].map((n) => Array.from({ length: n }, () => ({ runId: 'r', agentId: 'a', state: 14 })));
  const swept: number[] = [];
  await askedWhen(0, 1_000, async () => {
    const piece = pieces.shift() ?? [];
    swept.push(piece.length);
    return piece;
  });
  expect(swept).toEqual([2, 1, 0]);
});

/** When a sweeper asks for what is unanswered, milliseconds, if asking takes so long. */
async function askedWhen(
  tookMs: number,
  untilMs: number,
  sweep: RunStore['sweep'] = async () => [],
): Promise<number[]> {
  let nowMs = 0;
  const asked: number[] = [];
  const done = Promise.withResolvers<void>();
  const clock: Clock = {
    nowMs: () => nowMs,
    now: () => new Date(nowMs),
    async sleep(ms, signal) {
      nowMs += ms;
      if (nowMs < untilMs) return;
      done.resolve();
      await new Promise((resolve) => signal?.addEventListener('abort', resolve));
    },
  };
  const store: Partial<RunStore> = {
    sweep,
    groom: async () => 0,
    unaccepted: async () => {
      asked.push(nowMs);
      nowMs += tookMs;
      return { unanswered: [], waiting: [] };
    },
  };
  const nothing = async () => {};
  const sweeper = startSweeper(
    {
      store: store as RunStore,
      desk: {
        change: () => true,
        output() {},
        opened() {},
        changedInStore() {},
        endRuns: nothing,
        idle: nothing,
        fault: () => undefined,
      },
      clock,
      lines: { isConnected: () => true, waiting() {} },
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
  return asked;
}
