import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { foldCase, requiredLiterals } from './literals.ts';

describe('what a pattern requires', () => {
  it.each([
    ['Out of memory', ['Out of memory']],
    ['error (?P<code>[0-9]+) at', ['error ']],
    ['(?P<unit>\\S+): Failed with result', [': Failed with result']],
    ['EXT4-fs error \\(device', ['EXT4-fs error (device']],
    ['oom-kill|Out of memory', ['oom-kill', 'Out of memory']],
    ['(?:I/O|media) error', [' error']],
    ['(?:remounting|remounted) read-only', [' read-only']],
    ['x(?:remounting|remounted)y?', ['remounting', 'remounted']],
    ['ab+c', ['ab']],
    ['ab*cde', ['cde']],
    ['a{2}bcd', ['bcd']],
    ['^begin', ['begin']],
    ['[[:alpha:]]+xyz[^]]', ['xyz']],
  ])('is found in %s', (pattern, anyOf) => {
    expect(requiredLiterals(pattern)).toEqual({ anyOf, ignoreCase: false });
  });

  it('is lower case where case does not count', () => {
    expect(requiredLiterals('(?i)Kernel PANIC')).toEqual({ anyOf: ['kernel panic'], ignoreCase: true });
  });

  it.each(['a*', '[abc]', '', 'a|', 'abc|.*', '(?i:abc)', 'ab(?i)cd', '\\Qa.b\\E', '\\x41bc', '(?i)ärger'])(
    'is nothing that is known in %j',
    (pattern) => {
      expect(requiredLiterals(pattern)).toBeUndefined();
    },
  );

  const atom = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'k', 's', 'K', 'S', ' ', '\\.', '-') },
    {
      weight: 2,
      arbitrary: fc.constantFrom('.', '[ab]', '[^k]', '\\w', '\\S', '\\b', '^', '$', '[[:alpha:]]', '[]a]'),
    },
  );
  const times = fc.oneof(
    { weight: 5, arbitrary: fc.constant('') },
    { weight: 1, arbitrary: fc.constantFrom('*', '+', '?', '*?', '+?', '{0}', '{2}', '{0,2}', '{1,}') },
  );
  const { pattern } = fc.letrec<{ pattern: string; sequence: string; item: string }>((tie) => ({
    item: fc
      .tuple(
        fc.oneof(
          { maxDepth: 2, withCrossShrink: true },
          atom,
          tie('pattern').map((inner) => `(?:${inner})`),
          tie('pattern').map((inner) => `(${inner})`),
        ),
        times,
      )
      .map((parts) => parts.join('')),
    sequence: fc.array(tie('item'), { maxLength: 5 }).map((items) => items.join('')),
    pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((all) => all.join('|')),
  }));
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', 'k', 's', 'K', 'S', '.', '-', ' ', 'ſ', '\u212a', ']'),
    maxLength: 12,
  });

  it('is there in every text that matches', () => {
    fc.assert(
      fc.property(pattern, fc.boolean(), text, (inner, ignoreCase, searched) => {
        const whole = ignoreCase ? `(?i)${inner}` : inner;
        fc.pre(compiles(whole));
        const required = requiredLiterals(whole);
        if (required === undefined || !RE2JS.compile(whole).test(searched)) return;
        const within = required.ignoreCase ? foldCase(searched) : searched;
        expect(required.anyOf.some((literal) => within.includes(literal))).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });
});

function compiles(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}
