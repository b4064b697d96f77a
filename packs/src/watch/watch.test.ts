import { describe, expect, it } from 'vitest';
import { PackError } from '../errors.ts';
import { packWith } from '../testing/watches.ts';

/** "line:column: message", counted from the lines given. */
function problems(lines: string): string[] {
  try {
    packWith(lines);
    return [];
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    return error.issues.map(({ line, column, message }) => `${line - 3}:${column}: ${message}`);
  }
}

const taskAndRule = (rule: string) => `tasks:
  clean:
    title: Clean
    parameters: {path: {type: string}, depth: {type: integer, maximum: 5, default: 1}}
    run: {command: [ls]}
rules:
  r:
    title: R
${rule
  .trim()
  .split('\n')
  .map((line) => `    ${line}`)
  .join('\n')}
`;

describe('rules and monitors', () => {
  it('are read into what the engine runs', () => {
    const pack = packWith(`
rules:
  r:
    title: R
    settings: {limit: 3}
    on: {log: journal, pattern: 'from (?P<ip>\\S+)'}
    threshold: {count: 5, within: 2m, by: match.ip}
    alert: {severity: critical, title: 'From \${match.ip}', key: match.ip}
    run: {pack: linux, task: look}
monitors:
  m:
    title: M
    probe:
      every: 30s
      run: {script: {interpreter: sh, source: 'df -P'}}
      instance: sample.mount
      critical: sample.used > 90
    recoveries: [{on: critical, pack: p, task: mend, cooldown: 0s}]
tasks:
  mend: {title: Mend, maintenance: refuse, run: {command: [ls]}}
`);
    expect(pack.tasks.get('mend')?.maintenance).toBe('refuse');
    expect(pack.rules.get('r')).toEqual({
      name: 'r',
      title: 'R',
      description: '',
      requires: {},
      enabled: true,
      settings: { limit: 3 },
      on: [
        {
          logs: ['journal'],
          sources: undefined,
          ids: undefined,
          level: undefined,
          where: undefined,
          pattern: 'from (?P<ip>\\S+)',
        },
      ],
      condition: { kind: 'threshold', count: 5, withinMs: 120_000, by: 'match.ip' },
      alert: { severity: 'critical', title: `From \${match.ip}`, description: '', key: 'match.ip' },
      run: { pack: 'linux', task: 'look', parameters: {}, cooldownMs: 600_000 },
      metric: undefined,
    });
    expect(pack.monitors.get('m')).toEqual({
      name: 'm',
      title: 'M',
      description: '',
      requires: { 'interpreter.sh': '*' },
      enabled: true,
      settings: {},
      input: {
        kind: 'probe',
        everyMs: 30_000,
        timeoutMs: 10_000,
        probe: { kind: 'run', runner: { kind: 'script', interpreter: 'sh', source: 'df -P' }, output: 'json' },
        instance: 'sample.mount',
        trend: undefined,
        warning: undefined,
        critical: 'sample.used > 90',
        samples: 1,
      },
      reset: { kind: 'input' },
      alert: undefined,
      diagnostic: undefined,
      recoveries: [
        { on: 'critical', pack: undefined, task: 'mend', parameters: {}, cooldownMs: 0, when: undefined, most: 1 },
      ],
    });
  });

  it('have names that no other of the pack has', () => {
    const both = `rules: {w: {title: R, on: {log: a}, metric: m}}
monitors: {w: {title: M, events: {warning: {log: a}}, reset: manual}}`;
    expect(problems(both)).toEqual(["2:12: there is a rule 'w' already; overrides know them by name alone"]);
  });

  it('are at most 200 of each', () => {
    const many = Array.from({ length: 201 }, (_, i) => `  r${i}: {title: R, on: {log: a}, metric: m}`);
    expect(problems(`rules:\n${many.join('\n')}`)).toEqual(['2:3: a pack has at most 200 rules']);
  });
});

describe('a mistake in an expression', () => {
  it('is shown at the very character, where the file has it letter by letter', () => {
    const lines = `rules:
  r:
    title: R
    on:
      log: kernel
      where: event.level == 'error' && event.mesage == ''
    alert:
      severity: warning
      title: "of \${evnt.source}"
      key: 'match.ip'
`;
    expect(problems(lines)).toEqual([
      "6:46: in 'where': there is no field 'mesage'; did you mean 'message'?",
      "9:20: in 'title': there is no 'evnt' here; did you mean 'event'?",
      "10:19: in 'key': there is no field 'ip'",
    ]);
  });

  it('is shown with its place in the text, where the file folds or escapes it', () => {
    const lines = `rules:
  r:
    title: R
    on: {log: kernel}
    alert:
      severity: warning
      title: T
      description: |
        First line.
        Second: \${settings.x}
`;
    expect(problems(lines)).toEqual(["8:20: in 'description', at character 32: there is no field 'x'"]);
  });

  it.each([
    [
      'a text where true or false is needed',
      'on: {log: a, where: event.message}\nmetric: m',
      "in 'where': this gives string, where true or false is needed",
    ],
    [
      'a group that the pattern beside it does not have',
      "on: {pattern: '(?P<a>x)', where: match.b == ''}\nmetric: m",
      "in 'where': there is no field 'b'; did you mean 'a'?",
    ],
    [
      'a sample in a rule',
      'on: {log: a, where: sample.x > 1}\nmetric: m',
      "in 'where': there is no 'sample' here; there is one of event, match, settings, agent",
    ],
    [
      'a template that does not end',
      `on: {log: a}\nalert: {severity: warning, title: 'x \${event'}`,
      `in 'title': '\${' is not closed by '}'; write '$\${' for the characters themselves`,
    ],
    [
      'a `by` that awaited events lack',
      "on: {pattern: '(?P<a>x)'}\nabsence: {expect: {log: b}, within: 1m, by: match.a}\nmetric: m",
      "in 'by': there is no field 'a'",
    ],
  ])('is found: %s', (_name, rule, message) => {
    expect(problems(taskAndRule(rule)).map((each) => each.replace(/^\d+:\d+: /, ''))).toEqual([message]);
  });

  it('is found in a pattern', () => {
    expect(problems(taskAndRule("on: {pattern: '(a'}\nmetric: m"))).toEqual([
      "9:19: 'pattern' is no regular expression of RE2: missing closing ): `(a`",
    ]);
    expect(problems(taskAndRule("on: {pattern: '(?=a)'}\nmetric: m"))[0]).toMatch(/no regular expression of RE2/);
  });
});

describe('a task that is run in answer', () => {
  const answer = (run: string) => problems(taskAndRule(`on: {log: a}\nrun: ${run}`));

  it.each([
    [
      'is not in the pack',
      '{task: clear, parameters: {path: /}}',
      "10:17: this pack has no task 'clear'; did you mean 'clean'?",
    ],
    [
      'may be of another pack',
      '{task: xyz}',
      "10:17: this pack has no task 'xyz'; for a task of another pack, say 'pack'",
    ],
    [
      'has no such parameter',
      `{task: clean, parameters: {path: /, dept: '\${1}'}}`,
      "10:47: task 'clean' has no parameter 'dept'; did you mean 'depth'?",
    ],
    ['lacks a parameter', '{task: clean}', "10:10: task 'clean' would refuse this: parameter 'path' is missing"],
    [
      'lacks a parameter beside a template',
      `{task: clean, parameters: {depth: '\${1}'}}`,
      "10:36: task 'clean' needs the parameter 'path'",
    ],
    [
      'would be refused',
      '{task: clean, parameters: {path: /, depth: 9}}',
      "10:36: task 'clean' would refuse this: parameter 'depth' must be at most 5",
    ],
    [
      'waits too long',
      '{pack: x, task: y, cooldown: 200h}',
      "10:39: 'cooldown' must be a time from 0ms to 7d, such as 30s, 5m or 1h",
    ],
  ])('%s', (_name, run, problem) => {
    const found = answer(run);
    expect(found).toHaveLength(1);
    expect(found[0]?.replace(/^\d+:\d+/, '')).toBe(problem.replace(/^\d+:\d+/, ''));
  });

  it('of another pack is checked by nobody here', () => {
    expect(answer('{pack: linux, task: anything, parameters: {a: 1}}')).toEqual([]);
  });
});

describe('a monitor that makes no sense', () => {
  const monitor = (lines: string) =>
    problems(
      `monitors:\n  m:\n    title: M\n${lines
        .trim()
        .split('\n')
        .map((line) => `    ${line}`)
        .join('\n')}`,
    );
  const probe = 'probe: {every: 1m, run: {command: [ls]}, warning: sample.x > 1}';

  it.each([
    [
      'an alert for a state that never comes',
      `${probe}\nalert: {from: critical, title: T}`,
      'this monitor is never critical: nothing says when it would be',
    ],
    [
      'a recovery of one',
      `${probe}\nrecoveries: [{on: critical, pack: a, task: b}]`,
      'this monitor is never critical: nothing says when it would be',
    ],
    [
      'a timeout beyond its interval',
      'probe: {every: 10s, timeout: 20s, run: {command: [ls]}, warning: sample.x > 1}',
      "'timeout' is longer than 'every'",
    ],
    [
      'a timer for a probe',
      `${probe}\nreset: {after: 5m}`,
      "a timer resets a monitor of 'events'; a probe's samples speak for themselves",
    ],
    [
      'events after which it is never healthy',
      'events: {warning: {log: a}}',
      "nothing makes this monitor healthy again: give 'healthy' events, or 'reset' as manual or {after: 15m}",
    ],
    [
      'a trend that it does not have',
      'probe: {every: 1m, run: {command: [ls]}, warning: trend.per_hour > 1}',
      "in 'warning': there is no 'trend' here; there is one of sample, settings, agent",
    ],
    [
      'a setting that it does not have',
      'probe: {every: 1m, run: {command: [ls, {param: x}]}, warning: sample.x > 1}',
      "the monitor has no setting 'x'",
    ],
    [
      'settings in a recovery',
      `settings: {a: 1}\n${probe}\nrecoveries: [{on: warning, pack: a, task: b, when: settings.a > 0}]`,
      "in 'when': there is no 'settings' here; there is one of diagnostic, sample",
    ],
  ])('is refused: %s', (_name, lines, message) => {
    expect(monitor(lines).map((each) => each.replace(/^\d+:\d+: /, ''))).toEqual([message]);
  });
});
