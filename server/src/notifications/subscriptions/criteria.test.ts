import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSelector } from '../../agents/selector.ts';
import type { Alert } from '../../alerts/alert.ts';
import { sampleItem } from '../templates/sample.ts';
import { compileCondition, globMatches, matches } from './criteria.ts';
import type { Criteria } from './subscription.ts';

const { alert } = sampleItem('opened', new Date(0));
const ANY: Criteria = { severity: 'information', watches: [], kinds: new Set(), agents: undefined, where: undefined };
const holds = (criteria: Partial<Criteria>, over: Partial<Alert> = {}) =>
  matches({ ...ANY, ...criteria }, { ...alert, ...over });

describe('a subscription is about an alert', () => {
  it('of its severity or a worse one', () => {
    expect([holds({ severity: 'warning' }), holds({ severity: 'critical' })]).toEqual([true, false]);
    expect(holds({ severity: 'warning' }, { severity: 'critical' })).toBe(true);
  });

  it('of a watch that one of its globs takes, and of a kind that it names', () => {
    expect([holds({ watches: ['linux/*'] }), holds({ watches: ['kube*', 'web/x'] })]).toEqual([true, false]);
    expect([holds({ kinds: new Set(['monitor']) }), holds({ kinds: new Set(['line', 'rule']) })]).toEqual([
      true,
      false,
    ]);
  });

  it('of an agent that it selects by name and labels', () => {
    expect([
      holds({ agents: parseSelector('role=web,env in (test)') }),
      holds({ agents: parseSelector('role=db') }),
    ]).toEqual([true, false]);
    expect(holds({ agents: parseSelector('name=web-1') })).toBe(true);
    expect(holds({ agents: parseSelector('!gpu') }, { agentName: '', labels: { zone: 'a' } })).toBe(true);
  });

  it('on which its condition is true', () => {
    const where = (text: string) => holds({ where: compileCondition(text) });
    expect(where('alert.labels.role == "web" && alert.count > 1')).toBe(true);
    expect(where('alert.title.matches("(?i)DISK .*full")')).toBe(true);
    expect(where('alert.labels.missing == "x"')).toBe(false);
    expect(where('alert.severity in ["critical"]')).toBe(false);
  });
});

describe('a condition', () => {
  it.each([
    ['alert.titel == ""', 6, /no 'titel'; did you mean 'title'/],
    ['alert.count', 0, /gives int/],
    ['alert.count >', 13, /./],
    ['event.id == ""', 0, /there is no 'event' here/],
  ])('like %s is refused with its place', (text, at, message) => {
    expect(() => compileCondition(text)).toThrow(
      expect.objectContaining({ at, message: expect.stringMatching(message) }),
    );
  });
});

describe('a glob', () => {
  it('takes what a regular expression of it would', () => {
    const words = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '.'), maxLength: 8 });
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 10 });
    fc.assert(
      fc.property(words, texts, (glob, text) => {
        const source = glob.replaceAll('.', '\\.').replace(/\*+/g, '.*');
        return globMatches(glob, text) === new RegExp(`^${source}$`).test(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('of many stars is no trouble', () => {
    expect(globMatches(`${'*a'.repeat(100)}*b`, 'a'.repeat(5_000))).toBe(false);
  });
});
