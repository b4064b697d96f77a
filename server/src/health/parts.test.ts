import { Heartbeat } from '@openline/proto/agent';
import { describe, expect, it } from 'vitest';
import { isBad, judge, type PartState, problemOf } from './parts.ts';

const beat = (fields: Partial<Heartbeat>): Heartbeat => Heartbeat.create(fields);

describe('a heartbeat', () => {
  it('says that the executor hangs when its journal was not written for long', () => {
    expect(problemOf('executor', beat({ executorCheckedMsAgo: 35_000 }))).toBeUndefined();
    expect(problemOf('executor', beat({ executorCheckedMsAgo: 35_001 }))).toMatch(/journal for 35 s/);
    expect(problemOf('rules', beat({ executorCheckedMsAgo: 99_000 }))).toBeUndefined();
  });
  it('says that the rule engine hangs when nothing came through it for long; an agent without one says nothing', () => {
    expect(problemOf('rules', beat({ rulesCheckedMsAgo: 60_000 }))).toMatch(/rules .* 60 s/);
    expect(problemOf('rules', beat({ rulesCheckedMsAgo: 0 }))).toBeUndefined();
  });
  it('names faults, each of which is that of the part it speaks of', () => {
    const both = beat({ fault: 'journal: no space left on device; event spool: no space left on device' });
    expect(problemOf('executor', both)).toBe('journal: no space left on device');
    expect(problemOf('rules', both)).toBe('event spool: no space left on device');
    expect(problemOf('rules', beat({ fault: 'rule engine: x' }))).toBe('rule engine: x');
  });
  it('with a log that cannot be read is that of an agent whose parts work', () => {
    const unreadable = beat({ fault: 'kernel: permission denied' });
    expect([problemOf('executor', unreadable), problemOf('rules', unreadable)]).toEqual([undefined, undefined]);
  });
});

describe('a part of an agent', () => {
  const after = (...problems: (string | undefined)[]) =>
    problems.reduce<PartState | undefined>((state, problem) => judge(state, problem), undefined);
  it('is bad when two heartbeats in a row say so', () => {
    expect(isBad(after('x'))).toBe(false);
    expect(isBad(after('x', undefined, 'x'))).toBe(false);
    expect(after('x', 'y')).toEqual({ kind: 'bad', problem: 'y' });
  });
  it('is well again when two in a row say so', () => {
    expect(isBad(after('x', 'x', undefined))).toBe(true);
    expect(isBad(after('x', 'x', undefined, 'x', undefined))).toBe(true);
    expect(after('x', 'x', undefined, undefined)).toBeUndefined();
  });
});
