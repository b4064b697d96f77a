import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, Gate, MESSAGE_BACKOFF } from './gate.ts';

const half = () => 0.5;

describe('a channel', () => {
  it('takes as many at a time as it may', () => {
    const gate = new Gate({ concurrency: 2, rate: undefined });
    expect(gate.room(0)).toBe(2);
    gate.started(0);
    gate.started(0);
    expect(gate.room(0)).toBe(0);
    gate.ended();
    expect(gate.room(0)).toBe(1);
  });

  it('takes as many in a time as it may', () => {
    const gate = new Gate({ concurrency: 50, rate: { messages: 2, perMs: 1_000 } });
    gate.started(0);
    gate.started(0);
    expect([gate.room(0), gate.room(499), gate.room(500), gate.room(60_000)]).toEqual([0, 0, 1, 2]);
  });

  it('that is away is asked by one message at a time, less and less often, until it answers', () => {
    const gate = new Gate({ concurrency: 4, rate: undefined });
    for (let i = 0; i < 4; i++) gate.started(0);
    for (let i = 0; i < 4; i++) {
      gate.away(0, half, 'connection refused');
      gate.ended();
    }
    // Four that failed at once are one failure: half of a second, doubled, with three quarters of it.
    expect(gate.fault).toBe('connection refused');
    expect([gate.room(749), gate.room(750)]).toEqual([0, 1]);
    gate.started(750);
    expect(gate.room(10_000)).toBe(0);
    gate.away(750, half, 'connection refused');
    gate.ended();
    expect([gate.room(2_249), gate.room(2_250)]).toEqual([0, 1]);
    gate.started(2_250);
    gate.answered();
    expect([gate.room(2_250), gate.fault]).toEqual([3, undefined]);
  });

  it('that says when to come again is left alone until then', () => {
    const gate = new Gate({ concurrency: 1, rate: undefined });
    gate.away(0, half, 'HTTP 429', 60_000);
    expect([gate.room(59_999), gate.room(60_000)]).toEqual([0, 1]);
  });

  it('never has more under way than it may, whatever happens', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('start', 'end', 'away', 'answered'), fc.nat(2_000)), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 5 }), (all, concurrency) => {
        const gate = new Gate({ concurrency, rate: { messages: 3, perMs: 1_000 } });
        let nowMs = 0;
        let underWay = 0;
        const startedAt: number[] = [];
        for (const [step, passedMs] of all) {
          nowMs += passedMs;
          if (step === 'start' && gate.room(nowMs) > 0) {
            gate.started(nowMs);
            underWay++;
            startedAt.push(nowMs);
          } else if (step === 'end' && underWay > 0) {
            gate.ended();
            underWay--;
          } else if (step === 'away') gate.away(nowMs, half, 'x');
          else if (step === 'answered') gate.answered();
          expect(underWay).toBeLessThanOrEqual(concurrency);
          // The bucket may be full once, and then fills with its rate.
          const lastSecond = startedAt.filter((at) => at > nowMs - 1_000).length;
          expect(lastSecond).toBeLessThanOrEqual(6);
        }
      }),
    );
  });
});

describe('the pause before a message is tried again', () => {
  it('grows to a quarter of an hour, and is never nothing', () => {
    expect([1, 2, 3, 40].map((failures) => backoffMs(failures, MESSAGE_BACKOFF, () => 1))).toEqual([
      10_000, 20_000, 40_000, 900_000,
    ]);
    expect(backoffMs(1, MESSAGE_BACKOFF, () => 0)).toBe(5_000);
  });
});
