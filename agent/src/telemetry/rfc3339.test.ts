import fc from 'fast-check';
import { expect, it } from 'vitest';
import { rfc3339 } from './rfc3339.ts';

it('says what Date says, of every time that there is', () => {
  fc.assert(
    fc.property(fc.date({ noInvalidDate: true }), (at) => {
      expect(rfc3339(at.getTime())).toBe(at.toISOString());
    }),
  );
});

it.each([Number.NaN, Number.POSITIVE_INFINITY, 8.64e15 + 1])('refuses %s', (unixMs) => {
  expect(() => rfc3339(unixMs)).toThrow(RangeError);
});
