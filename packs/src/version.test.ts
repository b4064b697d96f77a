import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions, digestOf, isVersion } from './version.ts';

/** The ladder of semver.org, section 11, and two of ours. */
const LADDER = [
  '0.0.0-0',
  '0.9.0',
  '1.0.0-1',
  '1.0.0-99999999999999999998',
  '1.0.0-99999999999999999999',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-alpha.beta',
  '1.0.0-beta',
  '1.0.0-beta.2',
  '1.0.0-beta.11',
  '1.0.0-rc.1',
  '1.0.0',
  '1.0.1',
  '1.2.0',
  '1.10.0',
  '2.0.0',
];

const number = fc.nat(12).map(String);
const part = fc.oneof(number, fc.stringMatching(/^[a-z-][0-9a-z-]{0,3}$/));
const version = fc
  .tuple(number, number, number, fc.array(part, { maxLength: 3 }))
  .map(([a, b, c, pre]) => `${a}.${b}.${c}${pre.length > 0 ? `-${pre.join('.')}` : ''}`);

describe('versions', () => {
  it('stand in the order of semver.org', () => {
    for (const [i, a] of LADDER.entries()) {
      for (const [j, b] of LADDER.entries()) expect(Math.sign(compareVersions(a, b))).toBe(Math.sign(i - j));
    }
  });

  it('have one order: antisymmetric and transitive', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(isVersion(a)).toBe(true);
        expect(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a))).toBe(0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0)
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
        if (compareVersions(a, b) === 0) expect(a).toBe(b);
      }),
    );
  });

  it('are the same whatever their build metadata', () => {
    expect(compareVersions('1.0.0+a.1', '1.0.0+b')).toBe(0);
  });

  it('are refused when they are none', () => {
    for (const text of ['', '1', '1.0', 'v1.0.0', '1.0.0.0', '01.0.0', '1.0.0-', '1.0.0-01', '1.0.0 ', '1.0.0-ä']) {
      expect(isVersion(text)).toBe(false);
      expect(() => compareVersions(text, '1.0.0')).toThrow(RangeError);
    }
    expect(isVersion(`1.0.0-${'a'.repeat(60)}`)).toBe(false);
  });
});

describe('the address of a pack', () => {
  it('is the SHA-256 of its bytes', () => {
    expect(digestOf(Buffer.from('abc')).toString('hex')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});
