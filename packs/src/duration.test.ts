import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

describe('a length of time', () => {
  it.each([
    ['250ms', 250],
    ['15s', 15_000],
    ['1.5h', 5_400_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ])('%s is %i milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '15', 's', '1 h', '-1s', '1.s', '.5s', '1w', '1h30', '99999999999999999d', '1S'])(
    'is not written «%s»',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it('is read in no time, whatever it is', () => {
    expect(parseDuration(`${'1'.repeat(100_000)}x`)).toBeUndefined();
    expect(parseDuration(`${'1s'.repeat(100_000)}!`)).toBeUndefined();
  });

  it.each([
    [0, '0ms'],
    [1, '1ms'],
    [1_500, '1500ms'],
    [90_000, '90s'],
    [3_600_000, '1h'],
    [172_800_000, '2d'],
  ])('%i milliseconds are written %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
    expect(parseDuration(text)).toBe(ms);
  });
});
