import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectiveLabels, type Property, parseProperty, propertyOf } from './properties.ts';

const KEY_CHARACTERS = [...'abcXYZ019_./-'];

describe('the reference to a property of the target', () => {
  it('is label:KEY, fact:KEY or name', () => {
    expect(parseProperty('label:data-dir')).toEqual({ kind: 'label', key: 'data-dir' });
    expect(parseProperty('label:topology.kubernetes.io/zone')).toEqual({
      kind: 'label',
      key: 'topology.kubernetes.io/zone',
    });
    expect(parseProperty('fact:interpreter.bash')).toEqual({ kind: 'fact', key: 'interpreter.bash' });
    expect(parseProperty('name')).toEqual({ kind: 'name' });
  });

  it.each([
    '',
    'label',
    'label:',
    'Label:a',
    'name:',
    'name ',
    ' name',
    'id',
    'pinned:a',
    'label:a b',
    'label:a\n',
    '$(x)',
  ])('is not %j', (text) => expect(parseProperty(text)).toBeUndefined());

  it('says every key that a selector can name, and nothing else gets through', () => {
    const key = fc.string({ unit: fc.constantFrom(...KEY_CHARACTERS), minLength: 1, maxLength: 300 });
    const property: fc.Arbitrary<Property> = fc.oneof(
      fc.record({ kind: fc.constant('label'), key }),
      fc.record({ kind: fc.constant('fact'), key }),
      fc.record({ kind: fc.constant('name') }),
    );
    const written = (p: Property) => (p.kind === 'name' ? 'name' : `${p.kind}:${p.key}`);
    fc.assert(
      fc.property(property, (p) => {
        expect(parseProperty(written(p))).toEqual(p);
      }),
    );
    const nearly = fc.tuple(fc.constantFrom('label:', 'fact:', 'name', ''), fc.string()).map((parts) => parts.join(''));
    fc.assert(
      fc.property(nearly, (text) => {
        const p = parseProperty(text);
        expect(p === undefined || written(p) === text).toBe(true);
      }),
    );
  });
});

describe('the property itself', () => {
  const target = {
    name: 'web-1',
    labels: effectiveLabels({ role: 'said', disk: '/said' }, { role: 'pinned', empty: '' }),
    facts: { os: 'linux', disk: '/fact' },
  };
  const of = (text: string) => {
    const property = parseProperty(text);
    return property && propertyOf(target, property);
  };

  it('is a pinned label before one that the agent says of itself', () => {
    expect(of('label:role')).toBe('pinned');
    expect(of('label:disk')).toBe('/said');
  });

  it('is never a fact where a label was asked for, or the other way', () => {
    expect(of('label:os')).toBeUndefined();
    expect(of('fact:role')).toBeUndefined();
    expect(of('fact:disk')).toBe('/fact');
  });

  it('may be empty, which is not to be absent', () => {
    expect(of('label:empty')).toBe('');
    expect(of('label:constructor')).toBeUndefined();
  });

  it('is the name', () => expect(of('name')).toBe('web-1'));
});
