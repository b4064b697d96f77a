import { randomFillSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdSource, newId } from './ids.ts';

const fillRandom = (bytes: Uint8Array) => void randomFillSync(bytes);

describe('an id', () => {
  it('is a UUID of version 7 that carries the time it was made', () => {
    const id = createIdSource({ nowMs: () => 0x0123_4567_89ab, fillRandom })();
    expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('sorts after every one before it, whatever the clock does', () => {
    const clock = fc.array(fc.integer({ min: 1_000, max: 1_003 }), { minLength: 2, maxLength: 200 });
    fc.assert(
      fc.property(clock, (times) => {
        let turn = 0;
        const make = createIdSource({ nowMs: () => times[turn++] ?? 0, fillRandom });
        const ids = times.map(make);
        expect([...ids].sort()).toEqual(ids);
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });

  it('sorts also when one millisecond makes more than its counter holds', () => {
    const make = createIdSource({ nowMs: () => 1, fillRandom });
    const ids = Array.from({ length: 10_000 }, make);
    expect([...ids].sort()).toEqual(ids);
  });

  it('is new each time', () => {
    expect(newId()).not.toBe(newId());
  });
});
