import { describe, expect, it } from 'vitest';
import { OutputWindow } from './output-window.ts';

const KIB = 1024;
let next = 0;

function windowOf(bytes: number): OutputWindow {
  const window = new OutputWindow();
  window.grant(bytes);
  return window;
}

const chunk = (runId: string, offset: number, bytes = 32 * KIB, round = 0) => ({ runId, offset, bytes, round });

describe('the output of an agent', () => {
  it('within its window is taken, for as long as it is acknowledged', () => {
    const window = windowOf(64 * KIB);
    for (let i = 0; i < 100; i++) {
      expect(window.arrived(chunk('a', i * 32 * KIB))).toBe('take');
      if (i > 0) window.committed('a', i * 32 * KIB);
    }
  });
  it('may be under way up to twice its window, which no honest agent needs; more breaks the protocol', () => {
    const window = windowOf(64 * KIB);
    expect(Array.from({ length: 5 }, (_, i) => window.arrived(chunk('a', i * 32 * KIB)))).toEqual([
      'take',
      'take',
      'take',
      'take',
      'beyond',
    ]);
  });
  it('is counted over all of its runs', () => {
    const window = windowOf(32 * KIB);
    expect([1, 2, 3].map(() => window.arrived(chunk(`run-${next++}`, 0)))).toEqual(['take', 'take', 'beyond']);
  });
  it('that is the same chunk again and again is counted each time', () => {
    const window = windowOf(32 * KIB);
    expect([1, 2, 3].map(() => window.arrived(chunk('a', 0)))).toEqual(['take', 'take', 'beyond']);
  });
  it('is not in the way any more when an acknowledgement is of what an earlier session had sent beyond it', () => {
    const window = windowOf(32 * KIB);
    for (let i = 0; i < 10; i++) {
      expect(window.arrived(chunk('a', i * 32 * KIB))).toBe('take');
      window.committed('a', 1_000 * KIB);
    }
  });
  it('of another run is not freed by an acknowledgement', () => {
    const window = windowOf(32 * KIB);
    window.arrived(chunk('a', 0));
    window.committed('b', 32 * KIB);
    window.arrived(chunk('b', 0));
    expect(window.arrived(chunk('a', 32 * KIB))).toBe('beyond');
  });
  it('passes a window that is smaller than a chunk, one chunk at a time', () => {
    expect(windowOf(1).arrived(chunk('a', 0))).toBe('take');
  });
});

describe('output that is refused', () => {
  it('is dropped, with all that follows, until it is sent again under the next number', () => {
    const window = windowOf(512 * KIB);
    window.arrived(chunk('a', 0));
    window.refuse();
    expect(window.arrived(chunk('a', 32 * KIB))).toBe('drop');
    const round = window.resume(512 * KIB);
    // Was on its way.
    expect(window.arrived(chunk('a', 64 * KIB))).toBe('drop');
    expect(window.arrived(chunk('a', 0, 32 * KIB, round))).toBe('take');
    expect(window.arrived(chunk('a', 32 * KIB, 32 * KIB, round))).toBe('take');
  });
  it('counts, so that an agent which goes on sending is found out', () => {
    const window = windowOf(64 * KIB);
    window.refuse();
    expect([0, 1, 2, 3, 4].map((i) => window.arrived(chunk('a', i * 32 * KIB)))).toEqual([
      'drop',
      'drop',
      'drop',
      'drop',
      'beyond',
    ]);
  });
  it('leaves room for what was on its way beside what is sent again', () => {
    const window = windowOf(512 * KIB);
    window.refuse();
    const round = window.resume(64 * KIB);
    for (let i = 0; i < 16; i++) expect(window.arrived(chunk('a', i * 32 * KIB))).toBe('drop');
    expect(window.arrived(chunk('a', 0, 32 * KIB, round))).toBe('take');
    expect(window.arrived(chunk('a', 32 * KIB, 32 * KIB, round))).toBe('take');
  });
});
