import { describe, expect, it } from 'vitest';
import { createShare } from './share.ts';

describe('a share of the processor', () => {
  it('lets a short burst run at full speed, and then no more than the share over time', () => {
    const share = createShare(0.25);
    let nowMs = 0;
    let used = 0;
    for (; nowMs < 60_000; used += 8) {
      nowMs += 8;
      nowMs += share.worked(8, nowMs);
      if (used < 500) expect(nowMs).toBe(used + 8);
    }
    expect(used / nowMs).toBeGreaterThan(0.25);
    expect(used / nowMs).toBeLessThan(0.27);
  });

  it('counts what was used, not what went by while others had the processor', () => {
    const share = createShare(0.25);
    let nowMs = 0;
    for (let slice = 0; slice < 1_000; slice++) {
      nowMs += 80;
      expect(share.worked(8, nowMs)).toBe(0);
    }
  });

  it('that is the whole never rests', () => {
    expect(createShare(1).worked(10_000, 10_000)).toBe(0);
  });
});
