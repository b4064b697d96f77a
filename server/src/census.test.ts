import { describe, expect, it } from 'vitest';
import { countVersions } from './census.ts';

const rows = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ version: `1.0.${first + i}`, agents: 100 - i }));

describe('agents by version', () => {
  it('are counted under twenty names and `other`, the most frequent first', () => {
    const counts = countVersions(rows(0, 22), new Map());
    expect(counts.size).toBe(21);
    expect(counts.get('1.0.19')).toBe(81);
    expect(counts.get('other')).toBe(80 + 79);
  });

  it('stay shown while any agent has them, however many others come', () => {
    const before = countVersions(rows(0, 1), new Map());
    const counts = countVersions([...rows(100, 25), { version: '1.0.0', agents: 1 }], before);
    expect(counts.get('1.0.0')).toBe(1);
    expect(counts.size).toBe(21);
  });

  it('make room when no agent has them any more', () => {
    const before = countVersions(rows(0, 22), new Map());
    const after = countVersions(rows(30, 20), before);
    expect([...after.keys()]).toEqual(rows(30, 20).map(({ version }) => version));
  });
});
