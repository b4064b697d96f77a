import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventAt } from '../testing/watches.ts';
import { createExpressionChecker, type Scope, type Wanted } from './check.ts';
import { compileCondition, compileExpression, plainValue, truthOf } from './evaluate.ts';
import { parseTemplate, TemplateError } from './template.ts';
import { EventView } from './views.ts';

const scope: Scope = {
  variables: ['event', 'match', 'settings', 'agent', 'sample', 'trend'],
  settings: { limit: 80, name: 'x', strict: true },
  groups: ['user', 'ip'],
};
const check = createExpressionChecker();
const problem = (text: string, wanted: Wanted = 'bool') => check(text, scope, wanted);

describe('an expression, when it is read', () => {
  it.each([
    "event.message.contains('x') && event.data.code >= 500",
    'sample.used / sample.size * 100 > settings.limit',
    "match.user == 'root' && agent.labels.role == 'web'",
    'trend.hours_to(sample.size) < 4 && trend.fit > 0.5',
    'has(sample.x) && sample.list.exists(x, x.bad)',
    "settings.strict ? sample.ok : settings.name.startsWith('y')",
    "event.at > timestamp('2026-01-01T00:00:00Z')",
  ])('may be %s', (text) => {
    expect(problem(text)).toBeUndefined();
  });

  it.each([
    ['evnt.message', 0, "there is no 'evnt' here; did you mean 'event'?"],
    ['user == 1', 0, "there is no 'user' here; there is one of event, match, settings, agent, sample, trend"],
    ["true || event.mesage == ''", 14, "there is no field 'mesage'; did you mean 'message'?"],
    ["match.usr == ''", 6, "there is no field 'usr'; did you mean 'user'?"],
    ['sample.x > settings.limt', 20, "there is no field 'limt'; did you mean 'limit'?"],
    ['event.level == 3', 0, 'no such overload: string == int'],
    ['event.message', 0, 'this gives string, where true or false is needed'],
    ["event.message.matches('(a')", 22, 'no regular expression of RE2: missing closing ): `(a`'],
    ['event.message.matches(event.source)', 22, 'matches() takes a pattern in quotes, not an expression'],
    ["event.at.matches('a')", 0, 'matches() is for text, not for google.protobuf.Timestamp'],
    ['1 +', 3, 'unexpected token: EOF'],
  ])('is refused as %s', (text, at, message) => {
    expect(problem(text)).toEqual({ at, message });
  });

  it('must give what it is for', () => {
    expect(problem('event.message', 'number')?.message).toBe('this gives string, where a number is needed');
    expect(problem('[1]', 'text')?.message).toBe('this gives list<int>, where text or a number is needed');
    expect(problem('sample.x', 'number')).toBeUndefined();
    expect(problem('a'.repeat(2001))?.message).toMatch(/at most 2000 characters/);
    expect(problem(`${'('.repeat(80)}1${')'.repeat(80)}`)?.message).toMatch(/maxDepth/i);
  });
});

describe('an expression, when it is worked out', () => {
  const sample = { n: 7, half: 2.5, text: 't', list: [1, 2], none: null, nested: { a: 1 } };
  const value = (text: string) => plainValue(compileExpression(text)({ sample }));

  it.each([
    ['sample.n + 1', 8],
    ['1 + sample.n', 8],
    ['sample.n * 100 / sample.half', 280],
    ['sample.n % 2', 1],
    ['sample.n == 7 && sample.half < 3', true],
    ['sample.list.map(x, x * 2)', [2, 4]],
    ["sample.?missing.orValue('d')", 'd'],
    ['sample.none == null', true],
    ['7 / 2', 3],
    ['sample.n / 2', 3.5],
    ['size(sample.list) + sample.n', 9],
    ['{"a": sample.n}', { a: 7 }],
  ])('mixes numbers as people do: %s', (text, expected) => {
    expect(value(text)).toEqual(expected);
  });

  it.each(['sample.missing > 1', "sample.text + 1 == ''", 'sample.none > 1'])(
    'fails where it makes no sense: %s',
    (text) => {
      expect(() => value(text)).toThrow();
    },
  );
});

describe('what is looked at before an expression', () => {
  const literal = fc.constantFrom('"a"', '"b"', '1', '2', '1.0', 'true', 'null');
  const place = fc.constantFrom('event.source', 'event.message', 'event.data.x', 'event.data.y.z', 'event.data');
  const comparison = fc.oneof(
    fc.tuple(place, literal).map(([a, b]) => `${a} == ${b}`),
    fc.tuple(literal, place).map(([a, b]) => `${a} == ${b}`),
    fc.tuple(place, fc.array(literal, { maxLength: 3 })).map(([a, list]) => `${a} in [${list.join(', ')}]`),
    fc
      .tuple(fc.constantFrom('event.source', 'event.data.x'), fc.constantFrom('contains', 'startsWith', 'endsWith'))
      .map(([a, method]) => `${a}.${method}("a")`),
    fc.constant('has(event.data.x)'),
    fc.constant('event.data.x != 1'),
  );
  const { condition } = fc.letrec<{ condition: string }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      comparison,
      fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => `(${a} && ${b})`),
      fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => `(${a} || ${b})`),
      tie('condition').map((inner) => `!(${inner})`),
    ),
  }));
  const datum = fc.constantFrom('a', 'b', 'ab', 1, 2, true, null, { z: 'a' }, { z: 1 });

  it('never rules out an event of which the expression is true', () => {
    fc.assert(
      fc.property(
        condition,
        fc.constantFrom('a', 'b', 'ba'),
        fc.dictionary(fc.constantFrom('x', 'y'), datum),
        (text, source, data) => {
          const { mayHold, holds } = compileCondition(text);
          const event = eventAt(1, { source, message: source, data });
          if (mayHold === undefined || mayHold(event)) return;
          expect(isTrue(() => truthOf(holds({ event: new EventView(event) })))).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('rules out what the most usual conditions are not true of', () => {
    const { mayHold } = compileCondition('event.data.code == 503 && event.message.contains("up")');
    const ask = (code: number, message: string) => mayHold?.(eventAt(1, { data: { code }, message }));
    expect([ask(503, 'upstream'), ask(404, 'upstream'), ask(503, 'x')]).toEqual([true, false, false]);
  });
});

function isTrue(ask: () => boolean): boolean {
  try {
    return ask();
  } catch {
    return false;
  }
}

describe('a template', () => {
  it.each([
    ['plain', [{ kind: 'text', text: 'plain' }]],
    [
      `\${a} of \${b}!`,
      [
        { kind: 'expression', text: 'a', at: 2 },
        { kind: 'text', text: ' of ' },
        { kind: 'expression', text: 'b', at: 10 },
        { kind: 'text', text: '!' },
      ],
    ],
    [`$5 and $\${x}`, [{ kind: 'text', text: `$5 and \${x}` }]],
    [`\${{"a": '}'}["a"]}`, [{ kind: 'expression', text: `{"a": '}'}["a"]`, at: 2 }]],
    [`\${"\\"}"}`, [{ kind: 'expression', text: `"\\"}"`, at: 2 }]],
    [`\${'''a'}'''}`, [{ kind: 'expression', text: `'''a'}'''`, at: 2 }]],
  ])('%s has its parts', (template, parts) => {
    expect(parseTemplate(template)).toEqual(parts);
  });

  it.each([`\${a`, `\${}`, `\${"a}`, `x \${ `])('%s is refused', (template) => {
    expect(() => parseTemplate(template)).toThrow(TemplateError);
  });

  it(`keeps every text without \${ as it is`, () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.includes(`\${`) && text !== '');
        expect(parseTemplate(text)).toEqual([{ kind: 'text', text }]);
      }),
    );
  });
});
