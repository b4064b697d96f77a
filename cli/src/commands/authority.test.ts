import { describe, expect, it } from 'vitest';
import { overlapLines } from './authority.ts';

describe('while an authority replaces another', () => {
  const operators = (rootUnchanged: boolean) => {
    const overlap = {
      since: null,
      earliestEnd: null,
      latestEnd: null,
      previous: ['sha256:1'],
      behindCount: 0,
      behind: [],
    };
    return overlapLines({ ...overlap, rootUnchanged }, () => 'soon').at(-1);
  };
  it('operators elsewhere are told to fetch the new root, and only when there is one', () => {
    expect(operators(false)).toContain('openline ca bundle > ca.pem');
    expect(operators(true)).toBe('operators elsewhere: need nothing: the root that they trust is the same');
  });
});
