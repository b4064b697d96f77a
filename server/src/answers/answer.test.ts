import { describe, expect, it } from 'vitest';
import { type Choice, type Facts, following, judge, type StoredAnswer } from './answer.ts';

const T0 = new Date('2026-01-01T00:00:00Z');
const later = (seconds: number) => new Date(T0.getTime() + seconds * 1000);
const task = (name: string, cooldownMs = 60_000) => ({ task: `p/${name}`, parametersJson: '{}', cooldownMs });
const recovery = (name: string, when = '', most = 2) => ({ ...task(name), when, most });
const choice = (over: Partial<Choice> = {}): Choice => ({ recoveries: [], sampleJson: '', ...over });

const answer = (over: Partial<StoredAnswer> = {}): StoredAnswer => ({
  id: 'x',
  kind: 'diagnostic',
  agentId: 'a',
  watch: 'p/disk',
  instance: '/',
  spell: 's1',
  alertId: '1',
  run: task('look'),
  choice: undefined,
  state: 'due',
  runId: undefined,
  createdAt: T0,
  ...over,
});
const choosing = (over: Partial<Choice>) =>
  answer({ kind: 'recovery', state: 'choosing', run: undefined, choice: choice(over) });
const facts = (over: Partial<Facts> = {}): Facts => ({
  now: later(1),
  monitor: { state: 'critical', spell: 's1' },
  lastStarts: new Map(),
  startsOfSpell: new Map(),
  ...over,
});

describe('a diagnostic', () => {
  it('starts while the monitor is ill', () => {
    expect(judge(answer(), facts())).toEqual({ kind: 'start', run: task('look') });
  });
  it.each([
    ['healthy', { monitor: { state: 'healthy', spell: '' } }, 'healthy again'],
    ['ill anew', { monitor: { state: 'critical', spell: 's2' } }, 'healthy again'],
    ['not monitored any more', { monitor: undefined }, 'healthy again'],
  ] as const)('does not start when the monitor is %s', (_, over, why) => {
    expect(judge(answer(), facts(over))).toMatchObject({ kind: 'skip', why: expect.stringContaining(why) });
  });
  it('does not start within its cool-down, and does at its end', () => {
    const at = (seconds: number) =>
      judge(answer(), facts({ now: later(seconds), lastStarts: new Map([['p/look', T0]]) }));
    expect(at(59)).toEqual({ kind: 'skip', why: 'p/look was run 59 s ago, and its cool-down is 60 s' });
    expect(at(60).kind).toBe('start');
  });
  it('does not start when it could not for a quarter of an hour', () => {
    expect(judge(answer(), facts({ now: later(900) })).kind).toBe('start');
    expect(judge(answer(), facts({ now: later(901) })).kind).toBe('skip');
  });
  it('that has ended makes a choice of the recoveries, if there are any', () => {
    const outcome = { state: 'failed', exitCode: 3, output: 'full' };
    const recoveries = [recovery('clean')];
    expect(following(answer(), outcome, 'y')).toBeUndefined();
    expect(following(answer({ choice: choice({ recoveries }) }), outcome, 'y')).toMatchObject({
      id: 'y',
      kind: 'recovery',
      run: undefined,
      spell: 's1',
      choice: { recoveries, diagnostic: outcome },
    });
  });
});

describe('a recovery', () => {
  const diagnostic = { state: 'failed', exitCode: 3, output: 'log files: 900 MB' };
  const chosen = (over: Partial<Choice>, given = facts()) => judge(choosing(over), given);
  it('is the first whose condition holds', () => {
    const recoveries = [
      recovery('restart', 'diagnostic.state == "succeeded"'),
      recovery('rotate', 'diagnostic.exit_code == 3 && diagnostic.output.contains("log files")'),
      recovery('other'),
    ];
    expect(chosen({ recoveries, diagnostic })).toMatchObject({ run: { task: 'p/rotate' } });
    expect(chosen({ recoveries, diagnostic: { ...diagnostic, exitCode: 0 } })).toMatchObject({
      run: { task: 'p/other' },
    });
  });
  it('may be chosen by the sample, also without a diagnostic', () => {
    const recoveries = [recovery('grow', 'sample.free < 5'), recovery('wait', 'has(diagnostic.state)')];
    expect(chosen({ recoveries, sampleJson: '{"free":3}' })).toMatchObject({ run: { task: 'p/grow' } });
    expect(chosen({ recoveries, sampleJson: '{"free":9}' })).toEqual({
      kind: 'skip',
      why: 'no recovery is for this case',
    });
  });
  it('whose condition makes no sense is not it', () => {
    const recoveries = [recovery('broken', 'sample.nothing.at.all > 1'), recovery('next')];
    expect(chosen({ recoveries })).toMatchObject({ run: { task: 'p/next' } });
  });
  it('runs so often for one spell of ill health, and no other takes its place', () => {
    const recoveries = [recovery('restart', '', 2), recovery('reboot')];
    const ran = (n: number) => facts({ startsOfSpell: new Map([['p/restart', n]]) });
    expect(chosen({ recoveries }, ran(1)).kind).toBe('start');
    expect(chosen({ recoveries }, ran(2))).toEqual({
      kind: 'skip',
      why: 'p/restart was run 2 times since it is ill, which is the most that the pack allows',
    });
  });
  it('does not run within its cool-down, nor when the monitor is healthy again', () => {
    const recoveries = [recovery('restart')];
    expect(chosen({ recoveries }, facts({ lastStarts: new Map([['p/restart', T0]]) })).kind).toBe('skip');
    expect(chosen({ recoveries }, facts({ monitor: { state: 'healthy', spell: '' } })).kind).toBe('skip');
  });
});

describe('the response of a rule', () => {
  it('asks nothing of monitors', () => {
    expect(judge(answer({ kind: 'rule', spell: '' }), facts({ monitor: undefined })).kind).toBe('start');
  });
});
