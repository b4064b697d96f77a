import { describe, expect, it } from 'vitest';
import { explaining, type GroupCount, isOutage } from './groups.ts';
import { ALL, type GroupRef, type LineAgent } from './line.ts';

const ref = (key: string, storm?: number): GroupRef => ({ key, rule: { members: 3, percent: 50, storm } });
const count = (missed: number, base: number, listed = 0): GroupCount => ({ missed, base, listed });
const heartbeat = { intervalMs: 1, silenceMs: 3, stoppedAfterMs: 9, alert: true, severity: 'critical' } as const;

function best(counts: Record<string, GroupCount>): string | undefined {
  const groups = Object.keys(counts).map((key) => ref(key, key === ALL ? 20 : undefined));
  const agent: LineAgent = { id: 'a', name: 'a', groups, heartbeat };
  return explaining(agent, (key) => counts[key] ?? expect.fail())?.key;
}

describe('a group is lost', () => {
  it.each([
    ['three of four', count(3, 4), true],
    ['three of six', count(3, 6), true],
    ['three of seven', count(3, 7), false],
    ['two of two', count(2, 2), false],
    ['one more of a group whose other four are listed, with one there', count(1, 2, 4), true],
    ['one more where two are listed and four are there', count(1, 5, 2), false],
  ])('%s: %o → %s', (_what, counted, lost) => expect(isOutage(ref('rack=r'), counted)).toBe(lost));
});

describe('what explains a loss', () => {
  it('is the group that lost the most', () => {
    expect(best({ 'rack=r': count(4, 4), 'zone=z': count(12, 12), all: count(12, 100) })).toBe('zone=z');
  });
  it('is the smallest of those that lost the same ones', () => {
    expect(best({ 'zone=z': count(4, 7), 'rack=r': count(4, 4), all: count(4, 8) })).toBe('rack=r');
  });
  it('is the fleet where many are lost and no group explains them', () => {
    expect(best({ 'rack=r': count(2, 10), all: count(20, 100) })).toBe('all');
    expect(best({ 'rack=r': count(2, 10), all: count(19, 100) })).toBeUndefined();
  });
  it('is a group before the fleet, though the fleet lost more', () => {
    expect(best({ 'rack=r': count(9, 10), all: count(30, 100) })).toBe('rack=r');
  });
});
