import { describe, expect, it } from 'vitest';
import { violations } from './markers.ts';

const start = { runId: 'r', agent: 'a', pid: 1, ended: true };
const claim = (state: string) => [{ runId: 'r', agent: 'a', state }];

describe('the checker of markers', () => {
  it('finds nothing when one start succeeded', () => {
    expect(violations([start], claim('succeeded'))).toEqual([]);
  });
  it('finds a second start', () => {
    expect(violations([start, { ...start, pid: 2 }], claim('succeeded'))).toEqual(['r@a started 2 times']);
  });
  it('finds a success that never started', () => {
    expect(violations([], claim('succeeded'))).toEqual(['r@a is said to have succeeded and never started']);
  });
  it('finds a success that never came to its end', () => {
    expect(violations([{ ...start, ended: false }], claim('succeeded'))).toEqual([
      'r@a is said to have succeeded and did not end',
    ]);
  });
  it('finds a start that is said not to have been', () => {
    expect(violations([start], claim('expired'))).toEqual(['r@a is said to be expired and did start']);
  });
  it('finds a dispatch that has not ended', () => {
    expect(violations([start], claim('running'))).toEqual(['r@a has not ended: running']);
  });
  it('lets a lost one have started or not', () => {
    expect(violations([start], claim('lost'))).toEqual([]);
    expect(violations([], claim('lost'))).toEqual([]);
  });
});
