import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSpec, specOf } from '../policy/testing.ts';
import { allGroups, healthGroupKind, lineGroupsOf, memberOf } from './health-group.ts';
import { type Member, rollUp, STATES, type State } from './rollup.ts';

const member = (state: State, over: Partial<Member> = {}): Member => ({
  state,
  unreachable: false,
  counts: true,
  ...over,
});
const group = (yaml: string) => specOf(healthGroupKind, yaml);
const worst = group('{label: rack}');

describe('the health of a group', () => {
  it('is that of its worst, or its best, member', () => {
    const members = [member('healthy'), member('critical'), member('warning')];
    expect(rollUp(worst, members)).toBe('critical');
    expect(rollUp(group('{label: rack, rollup: best}'), members)).toBe('healthy');
    expect(rollUp(worst, [member('healthy'), member('unknown')])).toBe('unknown');
  });
  it('may be that of the worst of the best so many percent', () => {
    const sixty = group('{label: rack, rollup: percentage, percent: 60}');
    const of = (...states: State[]) =>
      rollUp(
        sixty,
        states.map((state) => member(state)),
      );
    expect(of('healthy', 'healthy', 'healthy', 'critical', 'critical')).toBe('healthy');
    expect(of('healthy', 'healthy', 'warning', 'critical', 'critical')).toBe('warning');
    expect(of('healthy', 'critical')).toBe('critical');
    expect(of('healthy')).toBe('healthy');
  });
  it('counts members that are lost as critical, as a warning, or not at all', () => {
    const members = [member('healthy'), member('healthy', { unreachable: true })];
    expect(rollUp(worst, members)).toBe('critical');
    expect(rollUp(group('{label: rack, unreachable: warning}'), members)).toBe('warning');
    expect(rollUp(group('{label: rack, unreachable: ignore}'), members)).toBe('healthy');
  });
  it('does not count members in maintenance, or whose loss is excused; of those alone there is none', () => {
    expect(rollUp(worst, [member('warning'), member('critical', { counts: false })])).toBe('warning');
    expect(rollUp(worst, [member('critical', { counts: false })])).toBeUndefined();
    expect(rollUp(worst, [])).toBeUndefined();
  });
  it('is never better than the best member that counts, nor worse than the worst', () => {
    const members = fc.array(fc.constantFrom(...STATES), { minLength: 1, maxLength: 20 });
    const rank = (state: State | undefined) => STATES.indexOf(state ?? expect.fail());
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 100 }), (states, percent) => {
        const all = states.map((state) => member(state));
        const share = rank(rollUp({ rollup: 'percentage', percent, unreachable: 'critical' }, all));
        expect(share).toBeGreaterThanOrEqual(rank(rollUp({ ...worst, rollup: 'best' }, all)));
        expect(share).toBeLessThanOrEqual(rank(rollUp(worst, all)));
        if (percent === 100) expect(share).toBe(rank(rollUp(worst, all)));
      }),
    );
  });
});

describe('a kind of group', () => {
  const web = { id: '1', name: 'web-1', labels: { rack: 'r1', empty: '' }, facts: { os: 'linux' } };
  it('has those with a value for its label or fact, of the agents that it selects', () => {
    expect(memberOf(worst, web)).toBe('r1');
    expect(memberOf(group('{label: os}'), web)).toBe('linux');
    expect(memberOf(group('{label: zone}'), web)).toBeUndefined();
    expect(memberOf(group('{label: empty}'), web)).toBeUndefined();
    expect(memberOf(group('{label: rack, on: role=db}'), web)).toBeUndefined();
  });
  it('may be declared, or be a label of the configuration; what is declared counts', () => {
    const declared = [{ name: 'racks', spec: group('{label: rack, outage: {members: 5, percent: 80}}') }];
    const groups = allGroups(declared, ['rack', 'os']);
    expect(groups.map(({ name, spec }) => [name, spec.label])).toEqual([
      ['racks', 'rack'],
      ['os', 'os'],
    ]);
    expect(lineGroupsOf(groups, web, 20)).toEqual([
      { key: 'rack=r1', rule: { members: 5, percent: 80, storm: undefined } },
      { key: 'os=linux', rule: { members: 3, percent: 50, storm: undefined } },
      { key: 'all', rule: { members: 3, percent: 50, storm: 20 } },
    ]);
  });
  it.each([
    ['{}', "1:1: 'spec' needs 'label'"],
    ['{label: a b}', "1:9: 'a b' is no name of a label"],
    ['{label: a, rollup: average}', "1:20: 'rollup' must be one of"],
    ['{label: a, percent: 50}', "1:12: 'percent' is for"],
    ['{label: a, outage: {members: 1}}', "1:30: 'members' must be a whole number from 2"],
  ])('%s is refused with its place', (yaml, problem) => {
    expect(readSpec(healthGroupKind, yaml).problems).toContainEqual(expect.stringContaining(problem));
  });
});
