import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAuditLog } from '../audit/audit-log.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createAgentService } from './agent-service.ts';
import { isLabelKey, parseSelector, type Selector, selects } from './selector.ts';

describe('a target expression', () => {
  it('reads as Kubernetes label selectors do', () => {
    expect(parseSelector('role=web, env!=prod ,tier in (a, b),zone notin (x),gpu,!old')).toEqual([
      { kind: 'in', key: 'role', values: ['web'] },
      { kind: 'notin', key: 'env', values: ['prod'] },
      { kind: 'in', key: 'tier', values: ['a', 'b'] },
      { kind: 'notin', key: 'zone', values: ['x'] },
      { kind: 'exists', key: 'gpu' },
      { kind: 'absent', key: 'old' },
    ]);
  });
  it('may select all', () => {
    expect(parseSelector(' all ')).toEqual([]);
  });
  it('keeps keys that begin with an operator’s name apart from the operator', () => {
    expect(parseSelector('inside=1,in in (in)')).toEqual([
      { kind: 'in', key: 'inside', values: ['1'] },
      { kind: 'in', key: 'in', values: ['in'] },
    ]);
  });
  it.each([
    ['', /no targets/],
    ['role=web,', /expected a label.* at character 10/],
    ['role in web', /expected `\(`.* at character 9/],
    ['role in (a', /expected `,` or `\)`.* at character 11/],
    ['a=b c=d', /expected `,` or the end at character 5/],
    ['=x', /expected a label/],
  ])('«%s» is refused with the place', (text, message) => {
    expect(() => parseSelector(text)).toThrow(message);
  });
  it('can name each label that a token may pin', () => {
    const refused = ['', 'a b', 'a=b', 'größe', '!a', 'a,b', 'name', 'id'];
    expect(refused.filter(isLabelKey)).toEqual([]);
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9_./-]{1,20}$/), (key) => {
        fc.pre(key !== 'name' && key !== 'id');
        expect(isLabelKey(key)).toBe(true);
        expect(parseSelector(`${key}=x`)).toEqual([{ kind: 'in', key, values: ['x'] }]);
      }),
    );
  });
  it('never hangs or fails otherwise, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        try {
          parseSelector(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'TARGETS_INVALID' });
        }
      }),
    );
  });
});

interface Machine {
  readonly name: string;
  readonly pinned: Record<string, string>;
  readonly labels: Record<string, string>;
  readonly facts: Record<string, string>;
}

/** What the documentation says, word for word. */
function holds(selector: Selector, machine: Machine): boolean {
  const attributes: Record<string, string> = {
    ...machine.facts,
    ...machine.labels,
    ...machine.pinned,
    name: machine.name,
  };
  return selector.every((term) => {
    const value = Object.hasOwn(attributes, term.key) ? attributes[term.key] : undefined;
    if (term.kind === 'exists') return value !== undefined;
    if (term.kind === 'absent') return value === undefined;
    const listed = value !== undefined && term.values.includes(value);
    return term.kind === 'in' ? listed : !listed;
  });
}

describe('selecting agents, in the database and here', () => {
  const db = withTestDatabase();
  it('selects exactly those that the expression means', async () => {
    const attribute = fc.dictionary(fc.constantFrom('role', 'os', 'x'), fc.constantFrom('a', 'b', ''), { maxKeys: 3 });
    const machines = fc.sample(fc.record({ pinned: attribute, labels: attribute, facts: attribute }), {
      numRuns: 40,
      seed: 7,
    });
    const fleet = machines.map((machine, i): Machine => ({ ...machine, name: `m${String(i).padStart(2, '0')}` }));
    for (const { name, pinned, labels, facts } of fleet) {
      await db.pool.query(
        `insert into agents (id, name, enrolled_with, pinned_labels, labels, facts) values ($1, $1, 'test', $2, $3, $4)`,
        [name, pinned, labels, facts],
      );
    }
    const agents = createAgentService({
      db: db.kysely,
      audit: createAuditLog({ db: db.kysely }),
      isConnected: () => false,
      onRevoked: async () => {},
    });
    const expressions = [
      'all',
      'role=a',
      'role!=a',
      'os in (a,b),!x',
      'x notin (a)',
      'x',
      'name=m03',
      'name in (m01,m02),role',
      'x=',
    ];
    for (const expression of expressions) {
      const selector = parseSelector(expression);
      const expected = fleet.filter((m) => holds(selector, m)).map((m) => m.name);
      const here = fleet.filter((m) => selects(selector, { ...m, id: m.name, labels: { ...m.labels, ...m.pinned } }));
      expect([expression, here.map((m) => m.name)]).toEqual([expression, expected]);
      expect([expression, (await agents.candidates(expression, [])).map((a) => a.name)]).toEqual([
        expression,
        expected,
      ]);
    }
    const [first] = await agents.candidates('name=m03', ['role', 'os', 'nothing']);
    const m03 = fleet[3];
    expect(first?.values).toEqual(
      ['role', 'os', 'nothing'].map((key) => ({ ...m03?.facts, ...m03?.labels, ...m03?.pinned })[key]),
    );
  });
});
