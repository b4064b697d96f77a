import { describe, expect, it } from 'vitest';
import { about, engineWith, eventAt, packWith } from '../testing/watches.ts';
import { compileWatches, createEngine, type Detection, type Outcome } from './index.ts';

const MINUTE = 60_000;

function detections(outcomes: readonly Outcome[]): Detection[] {
  return outcomes.filter((outcome) => outcome.kind === 'detection');
}

function titles(outcomes: readonly Outcome[]): (string | undefined)[] {
  return detections(outcomes).map(({ alert }) => alert?.title);
}

const failedLogins = `
rules:
  failed-logins:
    title: Failed logins
    on:
      source: sshd
      pattern: 'Failed password for (?P<user>\\S+) from (?P<ip>\\S+)'
    threshold: {count: 3, within: 2m, by: match.ip}
    alert:
      severity: warning
      title: '\${count} failed logins from \${match.ip} on \${agent.name}'
      key: match.ip
`;
const failed = (atUnixMs: number, ip: string) =>
  eventAt(atUnixMs, { source: 'sshd', message: `Failed password for root from ${ip} port 22` });

describe('a rule without a condition', () => {
  const rule = (on: string, alert = `{severity: critical, title: 'Seen \${event.message}'}`) =>
    `rules:\n  r:\n    title: R\n    on: ${on}\n    alert: ${alert}\n`;

  it('fires for each event that matches, with the words of the event', () => {
    const engine = engineWith(rule('{source: app}'));
    const [fired] = detections(engine.event(eventAt(5), 7));
    expect(fired).toMatchObject({
      rule: { pack: 'p', version: '1.0.0', name: 'r' },
      key: '',
      atUnixMs: 7,
      eventCount: 1,
    });
    expect(fired?.alert).toEqual({ severity: 'critical', title: 'Seen it happened', description: '', key: '' });
    expect(fired?.events).toEqual([eventAt(5)]);
    expect(engine.event(eventAt(6, { source: 'other' }), 7)).toEqual([]);
  });

  it.each([
    ['a log', '{log: syslog}', { log: 'syslog' }, { log: 'kernel' }],
    ['one of several logs', '{log: [kernel, syslog]}', { log: 'kernel' }, { log: 'journal' }],
    [
      'a log with *',
      "{log: 'file:/var/log/*/error.log'}",
      { log: 'file:/var/log/nginx/error.log' },
      { log: 'file:/var/log/nginx/access.log' },
    ],
    ['a source', '{source: sshd}', { source: 'sshd' }, { source: 'sshd-session' }],
    ['a source with *', "{source: 'sshd*'}", { source: 'sshd-session' }, { source: 'ssh' }],
    ['an id', '{id: oom}', { id: 'oom' }, { id: 'oom2' }],
    ['a level or a worse one', '{level: warning}', { level: 'error' as const }, { level: 'info' as const }],
    ['a pattern anywhere', "{pattern: 'h[a-z]+ed'}", {}, { message: 'hed' }],
    ['a pattern in any case', "{pattern: '(?i)HAPPEN'}", {}, { message: 'hap' }],
    ['a condition', '{where: event.data.code >= 500}', { data: { code: 503 } }, { data: { code: 404 } }],
    [
      'a condition on what the pattern found',
      "{pattern: 'it (?P<what>\\w+)', where: match.what == 'happened'}",
      {},
      { message: 'it rains' },
    ],
    ['all that is said', '{source: app, level: error, id: x}', { id: 'x', level: 'critical' as const }, { id: 'x' }],
  ])('matches by %s', (_name, on, matching, other) => {
    const engine = engineWith(rule(on));
    expect(engine.event(eventAt(1, matching), 1)).toHaveLength(1);
    expect(engine.event(eventAt(1, other), 1)).toEqual([]);
  });

  it('fires once for an event that several of its entries match', () => {
    const engine = engineWith(rule("[{source: app}, {pattern: 'happened'}]"));
    expect(engine.event(eventAt(1), 1)).toHaveLength(1);
  });

  it('takes an event of which its condition can make nothing for no match, and counts it', () => {
    const engine = engineWith(rule('{where: event.data.code >= 500}'));
    expect(engine.event(eventAt(1), 1)).toEqual([]);
    expect(engine.health()).toEqual([
      { watch: { pack: 'p', version: '1.0.0', name: 'r' }, errors: 1, lastError: 'No such key: code', evicted: 0 },
    ]);
  });

  it('alerts all the same when a text cannot be filled in, with a mark where it should stand', () => {
    const engine = engineWith(rule('{source: app}', `{severity: warning, title: 'code \${event.data.code}!'}`));
    expect(titles(engine.event(eventAt(1), 1))).toEqual(['code ?!']);
    expect(engine.health()[0]).toMatchObject({ errors: 1 });
  });

  it('counts a metric, which alone makes no detection', () => {
    const engine = engineWith('rules: {r: {title: R, on: {source: app}, metric: seen}}');
    expect(engine.event(eventAt(1), 1)).toEqual([{ kind: 'metric', pack: 'p', metric: 'seen', count: 1 }]);
  });

  it('asks for a task, with the types that its parameters have', () => {
    const engine = engineWith(`
rules:
  r:
    title: R
    on: {source: app}
    run:
      pack: linux
      task: look
      cooldown: 5m
      parameters: {text: 'is \${event.source}', port: '\${event.data.port}', list: ['\${event.id}', 2], flag: true}
`);
    const [fired] = detections(engine.event(eventAt(1, { data: { port: 22 }, id: 'x' }), 1));
    expect(fired?.alert).toBeUndefined();
    expect(fired?.run).toEqual({
      pack: 'linux',
      task: 'look',
      cooldownMs: 300_000,
      parameters: { text: 'is app', port: 22, list: ['x', 2], flag: true },
    });
  });

  it('asks for no task whose parameters cannot be worked out', () => {
    const engine = engineWith(
      `rules: {r: {title: R, on: {source: app}, run: {pack: linux, task: look, parameters: {port: '\${event.data.port}'}}}}`,
    );
    expect(detections(engine.event(eventAt(1), 1))[0]?.run).toBeUndefined();
  });
});

describe('a threshold', () => {
  it('is reached by so many within the time, for each value of `by` apart', () => {
    const engine = engineWith(failedLogins);
    const outcomes = [
      failed(1000, 'a'),
      failed(2000, 'b'),
      failed(3000, 'a'),
      failed(4000, 'b'),
      failed(5000, 'a'),
    ].map((event) => titles(engine.event(event, event.atUnixMs)));
    expect(outcomes).toEqual([[], [], [], [], ['3 failed logins from a on web-1']]);
  });

  it('counts anew once it was reached', () => {
    const engine = engineWith(failedLogins);
    const fired = [1, 2, 3, 4, 5, 6].map((at) => detections(engine.event(failed(at, 'a'), at)).length);
    expect(fired).toEqual([0, 0, 1, 0, 0, 1]);
  });

  it('tells long values of `by` apart, though it does not remember all of them', () => {
    const engine = engineWith(failedLogins);
    const long = 'x'.repeat(5000);
    const keys = ['a', 'b', 'a', 'b', 'a', 'b'].flatMap((end, at) =>
      detections(engine.event(failed(at, `${long}${end}`), at)).map(({ key }) => key),
    );
    expect(keys.map((key) => key.length)).toEqual([200, 200]);
    expect(new Set(keys).size).toBe(2);
  });

  it('slides: three within the time count, whenever the first of all came', () => {
    const engine = engineWith(failedLogins);
    const at = [0, 1.5 * MINUTE, 2.5 * MINUTE, 3 * MINUTE];
    expect(at.map((each) => detections(engine.event(failed(each, 'a'), each)).length)).toEqual([0, 0, 0, 1]);
  });

  it('carries the events behind it, the newest last, and their number', () => {
    const engine = engineWith(failedLogins, [{ watch: 'failed-logins', settings: { 'threshold.count': 8 } }]);
    const all = Array.from({ length: 8 }, (_, i) => detections(engine.event(failed(i, 'a'), i))).flat();
    expect(all.map(({ eventCount, events }) => [eventCount, events.map((event) => event.atUnixMs)])).toEqual([
      [8, [3, 4, 5, 6, 7]],
    ]);
  });

  it('counts by when events were raised: an old log that is read at once is judged as it was', () => {
    const engine = engineWith(failedLogins);
    const now = 90 * MINUTE;
    const spread = [0, 10 * MINUTE, 20 * MINUTE].map((at) => detections(engine.event(failed(at, 'slow'), now)).length);
    const burst = [30 * MINUTE, 30 * MINUTE + 1, 30 * MINUTE + 2].map(
      (at) => detections(engine.event(failed(at, 'fast'), now)).length,
    );
    expect([spread, burst]).toEqual([
      [0, 0, 0],
      [0, 0, 1],
    ]);
  });

  it('goes on when the clock is set back', () => {
    const engine = engineWith(failedLogins);
    const hour = 60 * MINUTE;
    engine.event(failed(hour, 'a'), hour);
    expect([1, 2].map((at) => detections(engine.event(failed(at, 'a'), at)).length)).toEqual([0, 1]);
    expect(
      [3, 4, 5].map((at) => detections(engine.event(failed(at + 5 * MINUTE, 'a'), at + 5 * MINUTE)).length),
    ).toEqual([0, 0, 1]);
  });

  it('forgets the values of `by` that came least recently when there are too many, and counts them', () => {
    const engine = engineWith(failedLogins);
    for (let i = 0; i < 1500; i++) engine.event(failed(i, `ip-${i}`), i);
    expect(Object.keys(engine.state())).toHaveLength(1000);
    expect(engine.health()[0]).toMatchObject({ evicted: 500, errors: 0 });
    expect([1, 2].map(() => detections(engine.event(failed(1500, 'ip-1499'), 1500)).length)).toEqual([0, 1]);
  });

  it('forgets what can come to nothing any more, when it is due', () => {
    const engine = engineWith(failedLogins);
    engine.event(failed(1000, 'a'), 1000);
    expect(engine.dueAtUnixMs()).toBe(1000 + 2 * MINUTE + 1);
    engine.tick(1000 + 2 * MINUTE);
    expect(Object.keys(engine.state())).toEqual(['p/failed-logins\na']);
    engine.tick(1000 + 2 * MINUTE + 1);
    expect([engine.state(), engine.dueAtUnixMs()]).toEqual([{}, undefined]);
  });
});

describe('an absence', () => {
  const backup = `
rules:
  backup:
    title: Backups end
    on: {source: backup, pattern: 'begin (?P<job>\\w+)'}
    absence:
      expect: {source: backup, pattern: 'end (?P<job>\\w+)'}
      within: 10m
      by: match.job
    alert: {severity: critical, title: 'Backup \${match.job} did not end', key: match.job}
`;
  const say = (atUnixMs: number, message: string) => eventAt(atUnixMs, { source: 'backup', message });

  it('alerts when what was to come has not come in time', () => {
    const engine = engineWith(backup);
    engine.event(say(1000, 'begin home'), 1000);
    expect(engine.dueAtUnixMs()).toBe(1000 + 10 * MINUTE);
    expect(engine.tick(999 + 10 * MINUTE)).toEqual([]);
    const [fired] = detections(engine.tick(1000 + 10 * MINUTE));
    expect(fired?.alert).toEqual({
      severity: 'critical',
      title: 'Backup home did not end',
      description: '',
      key: 'home',
    });
    expect(fired).toMatchObject({ key: 'home', eventCount: 1, events: [say(1000, 'begin home')] });
    expect([engine.tick(60 * MINUTE), engine.dueAtUnixMs()]).toEqual([[], undefined]);
  });

  it('says nothing when it came, for the same value of `by`', () => {
    const engine = engineWith(backup);
    engine.event(say(0, 'begin home'), 0);
    engine.event(say(0, 'begin mail'), 0);
    engine.event(say(5 * MINUTE, 'end mail'), 5 * MINUTE);
    expect(titles(engine.tick(10 * MINUTE))).toEqual(['Backup home did not end']);
  });

  it('takes what was raised in time and read late for in time, and what was raised late for absent', () => {
    const engine = engineWith(backup);
    engine.event(say(0, 'begin home'), 0);
    engine.event(say(0, 'begin mail'), 0);
    expect(engine.event(say(9 * MINUTE, 'end home'), 10 * MINUTE + 1)).toEqual([]);
    expect(titles(engine.event(say(11 * MINUTE, 'end mail'), 11 * MINUTE))).toEqual(['Backup mail did not end']);
  });

  it('first reads what happened while the engine did not run', () => {
    const before = engineWith(backup);
    before.event(say(0, 'begin home'), 0);
    before.event(say(0, 'begin mail'), 0);
    const now = 60 * MINUTE;
    const engine = engineWith(backup, [], before.state());
    expect(engine.tick(now)).toEqual([]);
    engine.event(say(5 * MINUTE, 'end home'), now + 1000);
    expect(engine.dueAtUnixMs()).toBe(now + 30_000);
    expect(titles(engine.tick(now + 30_000))).toEqual(['Backup mail did not end']);
  });

  it('waits no longer than it should when the clock is set back', () => {
    const engine = engineWith(backup);
    const hour = 60 * MINUTE;
    engine.event(say(hour, 'begin home'), hour);
    engine.tick(0);
    expect(engine.dueAtUnixMs()).toBe(10 * MINUTE);
    expect(titles(engine.tick(10 * MINUTE))).toEqual(['Backup home did not end']);
  });
});

describe('texts of alerts', () => {
  it('are worked out when they are read, and stay', () => {
    const engine = engineWith(
      `rules: {r: {title: R, on: {source: app}, alert: {severity: warning, title: 'Code \${event.data.code}'}}}`,
    );
    const [fired] = detections(engine.event(eventAt(1), 1));
    expect(engine.health()[0]).toMatchObject({ errors: 0 });
    expect([fired?.alert?.title, fired?.alert?.title]).toEqual(['Code ?', 'Code ?']);
    expect(engine.health()[0]).toMatchObject({ errors: 1 });
  });

  it('write numbers as people read them', () => {
    const engine = engineWith(`
rules:
  r:
    title: R
    on: {source: app}
    alert:
      severity: warning
      title: "\${event.data.a / 3} \${event.data.a} \${format_bytes(event.data.b)} \${round(event.data.c, 1)} $\${not}"
`);
    const [fired] = detections(engine.event(eventAt(1, { data: { a: 10, b: 5_905_580_032, c: 2.26 } }), 1));
    expect(fired?.alert?.title).toBe(`3.33 10 5.5 GiB 2.3 \${not}`);
  });
});

describe('a regular expression', () => {
  const slow = 'a'.repeat(5000);

  it('of a pack takes linear time, in `pattern` and in CEL', () => {
    const engine = engineWith(`
rules:
  r: {title: R, on: {pattern: '^(a+)+$'}, metric: m}
  s: {title: S, on: {where: "event.message.matches('^(a+)+$')"}, metric: m}
  t: {title: T, on: {where: "[event.message].exists(m, m.matches('^(a+)+$'))"}, metric: m}
`);
    const startedMs = performance.now();
    expect(engine.event(eventAt(1, { message: `${slow}!` }), 1)).toEqual([]);
    expect(engine.event(eventAt(1, { message: slow }), 1)).toHaveLength(3);
    expect(performance.now() - startedMs).toBeLessThan(20_000);
  });
});

describe('what holds on an agent', () => {
  const two = packWith(`
rules:
  a: {title: A, on: {log: kernel}, metric: m, settings: {limit: 5, name: x}, requires: {os: linux}}
  b: {title: B, on: {log: kernel}, metric: m, enabled: false}
  c: {title: C, on: {log: kernel}, metric: m, requires: {os: windows}}
  d: {title: D, on: {log: journal, pattern: x}, threshold: {count: 5, within: 2m}, alert: {severity: warning, title: T}}
`);
  const override = (watch: string, more: object) => ({
    pack: 'p',
    watch,
    enabled: undefined,
    severity: undefined,
    settings: {},
    ...more,
  });

  it('is said with the reason', () => {
    const { statuses, logs, problems } = compileWatches([two], about, []);
    expect(statuses.map(({ watch, holds, why }) => [watch.name, holds, why])).toEqual([
      ['a', true, 'the pack enables it'],
      ['b', false, 'the pack disables it'],
      ['c', false, 'it requires os=windows, and the agent has os=linux'],
      ['d', true, 'the pack enables it'],
    ]);
    expect([logs, problems]).toEqual([['journal', 'kernel'], []]);
  });

  it('follows overrides', () => {
    const { statuses, problems } = compileWatches([two], about, [
      override('a', { settings: { limit: 7 } }),
      override('b', { enabled: true }),
      override('d', { severity: 'critical', settings: { 'threshold.count': 2, 'threshold.within_ms': 5000 } }),
    ]);
    expect(statuses.map(({ watch, holds, settings, overridden }) => [watch.name, holds, settings, overridden])).toEqual(
      [
        ['a', true, { limit: 7, name: 'x' }, ['limit']],
        ['b', true, {}, ['enabled']],
        ['c', false, {}, []],
        [
          'd',
          true,
          { 'threshold.count': 2, 'threshold.within_ms': 5000 },
          ['threshold.count', 'threshold.within_ms', 'severity'],
        ],
      ],
    );
    expect(problems).toEqual([]);
  });

  it('leaves out of an override what makes no sense, and says so', () => {
    const { problems, statuses } = compileWatches([two], about, [
      override('a', { settings: { limt: 1, name: 5 }, severity: 'critical' }),
      override('d', { settings: { 'threshold.count': 1 } }),
      override('e', {}),
      { ...override('x', {}), pack: 'other' },
    ]);
    expect(problems).toEqual([
      "p/e: the pack has no such rule or monitor; did you mean 'a'?",
      "p/a: there is no setting 'limt'; did you mean 'limit'?",
      'p/a: \'name\' must be text, as its default "x" is',
      'p/a: it raises no alert, so it has no severity',
      "p/d: 'threshold.count' must be a whole number from 2 to 1000",
    ]);
    expect(statuses[0]).toMatchObject({ settings: { limit: 5, name: 'x' }, overridden: [] });
  });

  it('changes the state as little as it must when it changes: what no longer fits is forgotten', () => {
    const engine = createEngine(compileWatches([two], about, []));
    engine.event(eventAt(1, { log: 'journal', message: 'x' }), 1);
    const state = engine.state();
    expect(Object.keys(state)).toEqual(['p/d\n']);
    const without = createEngine(compileWatches([two], about, [override('d', { enabled: false })]), state);
    without.tick(2);
    expect([without.state(), without.changes()]).toEqual([{}, { set: {}, removed: ['p/d\n'] }]);
  });
});
