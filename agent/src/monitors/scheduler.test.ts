import type { ProbePlan, ProbeResult } from '@openline/packs/engine';
import { beforeEach, describe, expect, it } from 'vitest';
import { manualClock } from '../tasks/testing/manual-clock.ts';
import { quiet } from '../tasks/testing/support.ts';
import { createProbeScheduler, type ProbeScheduler } from './scheduler.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Started {
  readonly name: string;
  readonly atMs: number;
  readonly end: (result: ProbeResult) => void;
  readonly signal: AbortSignal;
}

let time: ReturnType<typeof manualClock>;
let started: Started[];
let results: string[];
let scheduler: ProbeScheduler;

const plan = (name: string, everyMs = 10_000, timeoutMs = 5_000): ProbePlan => ({
  monitor: { pack: 'p', version: '1.0.0', name },
  everyMs,
  timeoutMs,
  probe: { kind: 'tcp', host: 'h', port: 1 },
  settings: {},
});
const fine: ProbeResult = { ok: true, sample: {} };
const names = () => started.map(({ name, atMs }) => `${name}@${atMs / 1_000}`);

beforeEach(() => {
  time = manualClock();
  started = [];
  results = [];
  scheduler = createProbeScheduler(
    {
      clock: time.clock,
      random: () => 0.5,
      log: quiet,
      run: (of, signal) =>
        new Promise((resolve) => {
          const late = () => resolve({ ok: false, error: 'late' });
          signal.addEventListener('abort', late);
          started.push({ name: of.monitor.name, atMs: time.clock.nowMs(), end: resolve, signal });
        }),
      result: ({ monitor }, result) => results.push(`${monitor.name} ${result.ok ? 'ok' : result.error}`),
    },
    { concurrency: 2 },
  );
});

describe('the scheduler of probes', () => {
  it('starts each somewhere within its interval, then keeps its pace', async () => {
    scheduler.plan([plan('a')]);
    for (const at of [5_000, 15_000, 25_000]) {
      await time.to(at);
      started.at(-1)?.end(fine);
    }
    await time.to(26_000);
    expect(names()).toEqual(['a@5', 'a@15', 'a@25']);
    expect(results).toEqual(['a ok', 'a ok', 'a ok']);
  });

  it('never runs one twice at a time: a start that comes meanwhile is left out', async () => {
    scheduler.plan([plan('a', 10_000, 60_000)]);
    await time.to(27_000);
    expect(names()).toEqual(['a@5']);
    started[0]?.end(fine);
    await time.to(35_000);
    expect(names()).toEqual(['a@5', 'a@35']);
  });

  it('ends one when its time is over, and only that', async () => {
    scheduler.plan([plan('a', 10_000, 2_000), plan('b', 10_000, 9_000)]);
    await time.to(8_000);
    expect(results).toEqual(['a late']);
    expect(started.map(({ signal }) => signal.aborted)).toEqual([true, false]);
  });

  it('runs so many at most; those that wait have their turn, and their whole time, afterwards', async () => {
    scheduler.plan([plan('a'), plan('b'), plan('c')]);
    await time.to(6_000);
    expect(names()).toEqual(['a@5', 'b@5']);
    await time.to(10_000);
    expect(names()).toEqual(['a@5', 'b@5', 'c@10']);
    expect(started[2]?.signal.aborted).toBe(false);
  });

  it('goes on as it was with a plan that stays, and ends one that changes or goes', async () => {
    scheduler.plan([plan('a'), plan('b')]);
    await time.to(6_000);
    scheduler.plan([plan('a'), plan('b', 4_000)]);
    await turn();
    expect(started.map(({ signal }) => signal.aborted)).toEqual([false, true]);
    started[0]?.end(fine);
    await time.to(8_000);
    expect(names()).toEqual(['a@5', 'b@5', 'b@8']);
    // Nobody hears of what was ended because nobody wants it.
    expect(results).toEqual(['a ok']);
    scheduler.plan([]);
    await time.to(100_000);
    expect(names()).toHaveLength(3);
  });

  it('does not catch up on what a sleeping machine missed', async () => {
    scheduler.plan([plan('a')]);
    await time.to(5_000);
    started[0]?.end(fine);
    await turn();
    // Every timer that was due fires at once, late.
    const late = time.clock.nowMs() + 60_000;
    await time.to(late);
    for (const one of started) one.end(fine);
    await turn();
    expect(started.length).toBeLessThanOrEqual(7);
  });

  it('starts nothing more once it is stopped, and waits for what runs', async () => {
    scheduler.plan([plan('a')]);
    await time.to(5_000);
    await scheduler.stop();
    expect(started[0]?.signal.aborted).toBe(true);
    await time.to(60_000);
    expect([names(), results]).toEqual([['a@5'], []]);
  });
});
