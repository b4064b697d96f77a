import { describe, expect, it } from 'vitest';
import { createInterrupts, stopOnInterrupt } from './interrupts.ts';

function setUp(cancel?: () => Promise<void>) {
  const log: string[] = [];
  let nowMs = 0;
  let press = (_signal: 'SIGINT' | 'SIGTERM') => {};
  const interrupts = createInterrupts({
    io: {
      onInterrupt(listener) {
        press = listener;
        return () => {};
      },
      nowMs: () => nowMs,
      exitNow: (code) => void log.push(`exit ${code}`),
    },
    cancel,
    say: () => {},
    stop: () => void log.push('stop'),
    beforeExit: () => void log.push('cursor back'),
  });
  return {
    interrupts,
    log,
    press(signal: 'SIGINT' | 'SIGTERM', afterMs = 1_000) {
      nowMs += afterMs;
      press(signal);
    },
  };
}

describe('Ctrl-C', () => {
  it('stops the watching the first time, and ends the process at once the second time', () => {
    const { interrupts, log, press } = setUp();
    press('SIGINT');
    expect(log).toEqual(['stop']);
    expect(interrupts.exitCode).toBe(130);
    press('SIGINT');
    expect(log).toEqual(['stop', 'cursor back', 'exit 130']);
  });

  it('is one press when a wrapper passes on what the terminal gave to all', () => {
    const { log, press } = setUp();
    press('SIGINT');
    press('SIGINT', 5);
    expect(log).toEqual(['stop']);
  });

  it('cancels and goes on watching when told to', () => {
    let cancelled = 0;
    const { log, press } = setUp(async () => {
      cancelled += 1;
    });
    press('SIGINT');
    expect(cancelled).toBe(1);
    expect(log).toEqual([]);
    press('SIGINT');
    expect(log).toEqual(['cursor back', 'exit 130']);
  });

  it('stops the watching when the cancelling fails', async () => {
    const { log, press } = setUp(async () => Promise.reject(new Error('server gone')));
    press('SIGTERM');
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['stop']);
  });
});

describe('a watch that has no end of its own', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('is stopped by %s and says so with %i; one that ended by itself is 0', (signal, code) => {
    let press = (_signal: 'SIGINT' | 'SIGTERM') => {};
    const stop = stopOnInterrupt({
      onInterrupt(listener) {
        press = listener;
        return () => {};
      },
    });
    expect(stop.exitCode).toBe(0);
    press(signal);
    expect(stop.signal.aborted).toBe(true);
    expect(stop.exitCode).toBe(code);
  });
});
