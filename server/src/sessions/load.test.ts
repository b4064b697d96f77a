import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Load } from './load.ts';

const MIB = 1024 * 1024;

function loadOf(capacity: number, queueLimit: number): Load {
  const load = new Load();
  load.hello({ capacity, queueLimit });
  return load;
}

describe('what an agent has in hand', () => {
  it('is never more than it says to have room for, running and waiting together', () => {
    const load = loadOf(2, 1);
    load.settle([['before', 10]]);
    expect([load.take('a', 10), load.take('b', 10), load.take('c', 10)]).toEqual([true, true, false]);
    // The same again is no more.
    expect(load.take('a', 10)).toBe(true);
    load.end('before');
    expect(load.take('c', 10)).toBe(true);
    expect(load.room.places).toBe(0);
  });

  it('is not known before the store has said what it has from before: until then nothing is given', () => {
    const load = loadOf(2, 1);
    expect(load.take('a', 10)).toBe(false);
    expect(load.isLow).toBe(false);
    load.settle([]);
    expect(load.take('a', 10)).toBe(true);
  });

  it('does not keep what ended while the store was looking', () => {
    const load = loadOf(1, 0);
    load.end('before');
    load.settle([['before', 10]]);
    expect(load.size).toBe(0);
  });

  it('keeps what was sent over its new line while the store was looking', () => {
    const load = loadOf(2, 0);
    load.add('a', 10);
    load.settle([
      ['a', 10],
      ['b', 10],
    ]);
    expect(load.size).toBe(2);
  });

  it('counts parameters, which its queue does not take without bound', () => {
    const load = loadOf(8, 4_000);
    load.settle([]);
    const taken = Array.from({ length: 20 }, (_, i) => load.take(`${i}`, 4 * MIB)).filter(Boolean);
    expect(taken).toHaveLength(12);
    load.end('3');
    expect(load.take('20', 4 * MIB)).toBe(true);
  });

  it('of an older agent, which does not say how much it takes, has no bound but that of its parameters', () => {
    const load = loadOf(0, 0);
    load.settle([]);
    for (let i = 0; i < 1_000; i++) expect(load.take(`${i}`, 2)).toBe(true);
    expect(load.isLow).toBe(true);
  });

  it.each([
    [8, 256, 136],
    [2, 2, 3],
    [8, 0, 7],
  ])('of one that runs %i and lets %i wait is low at %i', (capacity, queueLimit, low) => {
    const load = loadOf(capacity, queueLimit);
    load.settle([]);
    for (let i = 0; i < low; i++) load.take(`${i}`, 2);
    expect(load.isLow).toBe(true);
    load.take('one more', 2);
    expect(load.isLow).toBe(false);
  });

  it('is what a plain map would hold, whatever comes and ends in whatever order', () => {
    const run = fc.constantFrom('a', 'b', 'c', 'd');
    const event = fc.record({ add: fc.boolean(), run, bytes: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const load = loadOf(100, 0);
        load.settle([]);
        const model = new Map<string, number>();
        for (const { add, run: id, bytes } of events) {
          if (add) {
            load.add(id, bytes);
            if (!model.has(id)) model.set(id, bytes);
          } else {
            load.end(id);
            model.delete(id);
          }
          const bytesInHand = [...model.values()].reduce((sum, each) => sum + each, 0);
          expect([load.size, load.room]).toEqual([
            model.size,
            { places: 100 - model.size, bytes: 48 * MIB - bytesInHand },
          ]);
          for (const each of ['a', 'b', 'c', 'd']) expect(load.has(each)).toBe(model.has(each));
        }
      }),
    );
  });
});
