import { describe, expect, it } from 'vitest';
import { engineWith, eventAt, watchesWith } from '../testing/watches.ts';
import { createEngine, type Engine, type Outcome, recoveryHolds, type StateChange, sampleOfProcess } from './index.ts';

const MINUTE = 60_000;

function changes(outcomes: readonly Outcome[]): StateChange[] {
  return outcomes.filter((outcome) => outcome.kind === 'state');
}

/** "instance: from → to" */
function steps(outcomes: readonly Outcome[]): string[] {
  return changes(outcomes).map(({ instance, from, to }) => `${instance}: ${from} → ${to}`);
}

function sampler(engine: Engine, monitor = 'm') {
  let now = 0;
  return (sample: unknown, everyMs = MINUTE) => {
    now += everyMs;
    return engine.sample('p', monitor, { ok: true, sample }, now);
  };
}

const probe = (more: string, rest = '') => `
monitors:
  m:
    title: M
    settings: {limit: 80, worst: 95}
    probe:
      every: 1m
      run: {command: [check]}
      warning: sample.used > settings.limit
      critical: sample.used > settings.worst
${more
  .trim()
  .split('\n')
  .map((line) => `      ${line}`)
  .join('\n')}
${rest}
`;
const perMount = probe('instance: sample.mount');
const used = (percent: number) => ({ used: percent });

describe('a monitor with a probe', () => {
  it('gets worse and better as its samples say, and says so once', () => {
    const sample = sampler(engineWith(probe('')));
    const seen = [10, 10, 85, 85, 97, 85, 10].map((percent) => steps(sample(used(percent))));
    expect(seen).toEqual([
      [': not_monitored → healthy'],
      [],
      [': healthy → warning'],
      [],
      [': warning → critical'],
      [': critical → warning'],
      [': warning → healthy'],
    ]);
  });

  it('says why, by what, and since when', () => {
    const sample = sampler(engineWith(probe('')));
    expect(sample(used(97))).toEqual([
      {
        kind: 'state',
        monitor: { pack: 'p', version: '1.0.0', name: 'm' },
        instance: '',
        atUnixMs: MINUTE,
        from: 'not_monitored',
        to: 'critical',
        reason: 'critical: sample.used > settings.worst',
        sample: used(97),
        events: [],
        alert: undefined,
        diagnostic: undefined,
        recoveries: [],
      },
    ]);
  });

  it('gets worse only after so many samples in a row, and better at once', () => {
    const sample = sampler(engineWith(probe('samples: 3')));
    const seen = [85, 97, 10, 85, 85, 97, 97, 97, 10].map((percent) => steps(sample(used(percent))));
    expect(seen).toEqual([
      [': not_monitored → healthy'],
      [],
      [],
      [],
      [],
      [': healthy → warning'],
      [],
      [': warning → critical'],
      [': critical → healthy'],
    ]);
  });

  it('has an instance for each thing that its samples speak of, which come and go', () => {
    const sample = sampler(engineWith(perMount));
    const mounts = (...each: [string, number][]) => each.map(([mount, percent]) => ({ mount, used: percent }));
    expect(steps(sample(mounts(['/', 10], ['/data', 97])))).toEqual([
      '/: not_monitored → healthy',
      '/data: not_monitored → critical',
    ]);
    expect(steps(sample(mounts(['/', 85])))).toEqual(['/: healthy → warning']);
    expect(steps(sample(mounts(['/', 85], ['/new', 1])))).toEqual([
      '/new: not_monitored → healthy',
      '/data: critical → not_monitored',
    ]);
    expect(steps(sample([]))).toEqual([]);
    expect(steps(sample([]))).toEqual(['/: warning → not_monitored', '/new: healthy → not_monitored']);
  });

  it('keeps an instance that was only left out once', () => {
    const sample = sampler(engineWith(perMount));
    const root = [{ mount: '/', used: 97 }];
    expect([root, [], root, [], root].map((each) => steps(sample(each)))).toEqual([
      ['/: not_monitored → critical'],
      [],
      [],
      [],
      [],
    ]);
  });

  it('is unknown while its probe does not work, and afterwards what the sample says', () => {
    const engine = engineWith(probe(''));
    const sample = sampler(engine);
    sample(used(97));
    const failed = engine.sample('p', 'm', { ok: false, error: 'no such file' }, 2 * MINUTE);
    expect(changes(failed)).toMatchObject([
      { from: 'critical', to: 'unknown', reason: 'the probe does not work: no such file', recoveries: [] },
    ]);
    expect(engine.sample('p', 'm', { ok: false, error: 'no such file' }, 3 * MINUTE)).toEqual([]);
    expect(steps(sample(used(97)))).toEqual([': unknown → critical']);
  });

  it('is unknown at once when the first that is known of it is that its probe fails', () => {
    const engine = engineWith(probe('samples: 5'));
    expect(steps(engine.sample('p', 'm', { ok: false, error: 'x' }, 1))).toEqual([': not_monitored → unknown']);
  });

  it('is unknown, without a name, when the probe of a list never worked, until it does', () => {
    const engine = engineWith(perMount);
    expect(steps(engine.sample('p', 'm', { ok: false, error: 'x' }, 1))).toEqual([': not_monitored → unknown']);
    expect(steps(engine.sample('p', 'm', { ok: true, sample: [{ mount: '/', used: 1 }] }, 2))).toEqual([
      '/: not_monitored → healthy',
      ': unknown → not_monitored',
    ]);
  });

  it('is unknown when a sample cannot be judged, each instance by itself', () => {
    const engine = engineWith(perMount);
    const outcomes = engine.sample('p', 'm', { ok: true, sample: [{ mount: '/' }, { mount: '/data', used: 1 }] }, 1);
    expect(steps(outcomes)).toEqual(['/: not_monitored → unknown', '/data: not_monitored → healthy']);
    expect(changes(outcomes)[0]?.reason).toBe('the sample cannot be judged: No such key: used');
    expect(engine.health()).toMatchObject([{ errors: 1 }]);
  });

  it.each([
    ['a list, without anything to tell its items apart', probe(''), [used(1), used(2)]],
    ['nothing', probe(''), []],
    ['a text', probe(''), 'full'],
    ['things without a name', perMount, [used(1)]],
  ])('is unknown when the sample is %s', (_name, monitor, sample) => {
    const engine = engineWith(monitor);
    expect(steps(engine.sample('p', 'm', { ok: true, sample }, 1))).toEqual([': not_monitored → unknown']);
  });

  it('stays as bad as it ever was until a person resets it', () => {
    const engine = engineWith(probe('', '    reset: manual'));
    const sample = sampler(engine);
    const seen = [97, 10, 85].map((percent) => steps(sample(used(percent))));
    expect(seen).toEqual([[': not_monitored → critical'], [], []]);
    expect(steps(engine.reset('p', 'm', '', 9 * MINUTE))).toEqual([': critical → healthy']);
    expect(steps(sample(used(85)))).toEqual([': healthy → warning']);
  });

  it('holds a bounded number of instances, and counts those beyond', () => {
    const engine = engineWith(perMount);
    const many = Array.from({ length: 260 }, (_, i) => ({ mount: `/m${i}`, used: 1 }));
    expect(engine.sample('p', 'm', { ok: true, sample: many }, 1)).toHaveLength(200);
    expect(engine.health()).toMatchObject([{ evicted: 60 }]);
  });

  it('has a plan for its probe, with texts filled in and overrides applied', () => {
    const engine = engineWith(
      `
monitors:
  m:
    title: M
    settings: {port: 8080}
    probe:
      every: 1m
      timeout: 30s
      http: {url: 'http://\${agent.name}:\${settings.port}/'}
      critical: "!sample.ok"
`,
      [{ watch: 'm', settings: { port: 9090, every_ms: 5000 } }],
    );
    expect(engine.plans()).toEqual([
      {
        monitor: { pack: 'p', version: '1.0.0', name: 'm' },
        everyMs: 5000,
        timeoutMs: 5000,
        settings: { port: 9090 },
        probe: { kind: 'http', url: 'http://web-1:9090/', method: 'GET', pattern: undefined, verifyTls: true },
      },
    ]);
  });

  it('is told to be gone in the same order, however its state was kept', () => {
    const engine = engineWith(perMount);
    const mounts = ['/b', '/a', '/c'].map((mount) => ({ mount, used: 1 }));
    engine.sample('p', 'm', { ok: true, sample: mounts }, 1);
    const without = watchesWith(perMount, [{ watch: 'm', enabled: false }]);
    const turned = Object.fromEntries(Object.entries(engine.state()).toReversed());
    const gone = [engine.state(), turned].map((state) => steps(createEngine(without, state).tick(5)));
    expect(gone).toEqual([0, 1].map(() => ['/a', '/b', '/c'].map((mount) => `${mount}: healthy → not_monitored`)));
  });

  it('begins anew when it holds no more, and says that it is not watched', () => {
    const engine = engineWith(perMount);
    engine.sample('p', 'm', { ok: true, sample: [{ mount: '/', used: 97 }] }, 1);
    const disabled = createEngine(watchesWith(perMount, [{ watch: 'm', enabled: false }]), engine.state());
    expect(disabled.dueAtUnixMs()).toBe(0);
    expect(changes(disabled.tick(5))).toMatchObject([
      { monitor: { name: 'm', version: '1.0.0' }, instance: '/', from: 'critical', to: 'not_monitored' },
    ]);
    expect([disabled.tick(6), disabled.state(), disabled.changes().removed]).toEqual([[], {}, ['p/m\n/']]);
  });
});

describe('a trend', () => {
  const filling = `
monitors:
  disk:
    title: Disk
    probe:
      every: 10m
      run: {command: [df]}
      trend: {value: sample.used, over: 6h}
      critical: trend.hours_to(sample.size) < 3.9 && trend.fit > 0.8
    alert: {title: 'Full in \${trend.hours_to(sample.size)} hours'}
`;
  const feed = (engine: Engine, value: (i: number) => number, count: number) =>
    Array.from({ length: count }, (_, i) =>
      engine.sample('p', 'disk', { ok: true, sample: { used: value(i), size: 100 } }, i * 10 * MINUTE),
    ).flat();

  it('foresees when a limit is met', () => {
    const [first, bad] = changes(feed(engineWith(filling), (i) => 40 + i, 40));
    expect(first?.to).toBe('healthy');
    // 6 an hour: 3.9 hours before 100 is 76.6.
    expect(bad).toMatchObject({ to: 'critical', sample: { used: 77 }, alert: { title: 'Full in 3.83 hours' } });
  });

  it('says nothing of what does not move, moves away, or only jumps about', () => {
    const quiet = [() => 99, (i: number) => 99 - i, (i: number) => (i % 2 === 0 ? 40 : 95)];
    expect(quiet.map((value) => steps(feed(engineWith(filling), value, 40)))).toEqual(
      quiet.map(() => [': not_monitored → healthy']),
    );
  });

  it('says nothing before it has seen enough of the time that it is over', () => {
    expect(steps(feed(engineWith(filling), (i) => 40 + 10 * i, 6))).toEqual([': not_monitored → healthy']);
  });

  it('remembers a bounded number of points, however often it is sampled', () => {
    const engine = engineWith(filling);
    for (let i = 0; i < 3000; i++) engine.sample('p', 'disk', { ok: true, sample: { used: i, size: 1e6 } }, i * 10_000);
    expect(JSON.stringify(engine.state()).length).toBeLessThan(2000);
  });

  it('is not led astray by a clock that is set back', () => {
    const engine = engineWith(filling);
    feed(engine, (i) => 40 + i / 10, 30);
    const again = feed(engine, (i) => 40 + i, 40);
    expect(steps(again)).toEqual([': healthy → critical']);
  });
});

describe('a monitor of events', () => {
  const service = (rest: string, instance = 'instance: match.unit') => `
monitors:
  unit:
    title: Unit
    events:
      critical: {source: systemd, pattern: '(?P<unit>\\S+): Failed'}
      warning: {source: systemd, pattern: '(?P<unit>\\S+): Restarting'}
      healthy: {source: systemd, pattern: '(?P<unit>\\S+): Started'}
      ${instance}
    ${rest}
`;
  const say = (message: string, at = 1) => eventAt(at, { source: 'systemd', message });

  it('is as the events say: bad ones make it worse, never better', () => {
    const engine = engineWith(service(''));
    const seen = ['nginx: Restarting', 'nginx: Failed', 'nginx: Restarting', 'cron: Started', 'nginx: Started'].map(
      (message) => steps(engine.event(say(message), 1)),
    );
    expect(seen).toEqual([
      ['nginx: not_monitored → warning'],
      ['nginx: warning → critical'],
      [],
      [],
      ['nginx: critical → healthy'],
    ]);
  });

  it('begins healthy where the machine has one, and says so', () => {
    const watches = watchesWith(service('', ''));
    const engine = createEngine(watches);
    expect(steps(engine.tick(5))).toEqual([': not_monitored → healthy']);
    const [bad] = changes(engine.event(say('nginx: Failed'), 6));
    expect(bad).toMatchObject({ to: 'critical', reason: 'critical: nginx: Failed', events: [say('nginx: Failed')] });
    expect(steps(createEngine(watches, engine.state()).tick(7))).toEqual([]);
  });

  it('is healthy again some time after the last bad event, if the pack says so', () => {
    const engine = engineWith(service('reset: {after: 15m}'));
    engine.event(say('nginx: Failed', 1000), 1000);
    engine.event(say('nginx: Failed', 2000), 2000);
    expect(engine.dueAtUnixMs()).toBe(2000 + 15 * MINUTE);
    expect(engine.tick(1999 + 15 * MINUTE)).toEqual([]);
    expect(changes(engine.tick(2000 + 15 * MINUTE))).toMatchObject([
      { instance: 'nginx', to: 'healthy', reason: 'nothing bad for 900 s' },
    ]);
    expect(engine.dueAtUnixMs()).toBeUndefined();
  });

  it('waits no longer than that when the clock is set back', () => {
    const engine = engineWith(service('reset: {after: 15m}'));
    engine.event(say('nginx: Failed'), 60 * MINUTE);
    engine.tick(0);
    expect(engine.dueAtUnixMs()).toBe(15 * MINUTE);
  });

  it('is healthy again only when a person says so, if the pack says so', () => {
    const engine = engineWith(service('reset: manual'));
    engine.event(say('nginx: Failed'), 1);
    engine.event(say('cron: Failed'), 1);
    expect(steps(engine.event(say('nginx: Started'), 2))).toEqual([]);
    expect(steps(engine.reset('p', 'unit', 'nginx', 3))).toEqual(['nginx: critical → healthy']);
    expect(steps(engine.reset('p', 'unit', '', 4))).toEqual(['cron: critical → healthy']);
  });

  it('gives up healthy instances when there are too many, and keeps the bad ones', () => {
    const engine = engineWith(service(''));
    for (let i = 0; i < 200; i++) engine.event(say(`u${i}: Failed`), 1);
    expect(engine.event(say('late: Failed'), 2)).toEqual([]);
    expect(engine.health()).toMatchObject([{ evicted: 1 }]);
    engine.event(say('u7: Started'), 3);
    expect(steps(engine.event(say('late: Failed'), 4))).toEqual([
      'u7: healthy → not_monitored',
      'late: not_monitored → critical',
    ]);
  });
});

describe('what a monitor that is not healthy comes to', () => {
  const monitor = probe(
    '',
    `
    alert:
      from: critical
      title: '\${state} at \${sample.used} % on \${agent.name}\${instance}'
      description: 'above \${settings.worst}'
    diagnostic: {pack: linux, task: look, parameters: {used: '\${sample.used}'}}
    recoveries:
      - {on: warning, pack: linux, task: tidy}
      - {on: critical, pack: linux, task: clean, when: diagnostic.exit_code == 1, most: 2, cooldown: 1h}
      - {on: critical, pack: linux, task: restart}
`,
  );

  it('is an alert from the state on that the pack says, as severe as the state', () => {
    const sample = sampler(engineWith(monitor));
    const alerts = [85, 97, 85].map((percent) => changes(sample(used(percent)))[0]?.alert);
    const alert = { severity: 'critical', title: 'critical at 97 % on web-1', description: 'above 95', key: '' };
    expect(alerts).toEqual([undefined, alert, undefined]);
  });

  it('is as severe as an override says', () => {
    const sample = sampler(engineWith(monitor, [{ watch: 'm', severity: 'information' }]));
    expect(changes(sample(used(97)))[0]?.alert?.severity).toBe('information');
  });

  it('is a diagnostic and recoveries for its state, when it got worse', () => {
    const sample = sampler(engineWith(monitor));
    const tasks = [85, 97, 85].map((percent) =>
      changes(sample(used(percent))).map(({ diagnostic, recoveries }) => [
        diagnostic?.task,
        recoveries.map(({ task }) => task),
      ]),
    );
    expect(tasks).toEqual([[['look', ['tidy']]], [['look', ['clean', 'restart']]], [[undefined, []]]]);
  });

  it('carries what the server needs to choose', () => {
    const [change] = changes(sampler(engineWith(monitor))(used(97)));
    expect(change?.diagnostic).toEqual({ pack: 'linux', task: 'look', parameters: { used: 97 }, cooldownMs: 600_000 });
    expect(change?.recoveries).toEqual([
      {
        pack: 'linux',
        task: 'clean',
        parameters: {},
        cooldownMs: 3_600_000,
        when: 'diagnostic.exit_code == 1',
        most: 2,
      },
      { pack: 'linux', task: 'restart', parameters: {}, cooldownMs: 600_000, when: '', most: 1 },
    ]);
  });

  it('is not begun again by a probe that failed for a while', () => {
    const engine = engineWith(monitor);
    const sample = sampler(engine);
    sample(used(97));
    engine.sample('p', 'm', { ok: false, error: 'x' }, 2 * MINUTE);
    const [back] = changes(sample(used(97)));
    expect([back?.alert?.title, back?.diagnostic, back?.recoveries]).toEqual([
      'critical at 97 % on web-1',
      undefined,
      [],
    ]);
  });
});

describe('the choice of a recovery', () => {
  const ended = { state: 'failed', exitCode: 1, output: 'disk full' };

  it.each([
    ['', true],
    ['diagnostic.exit_code == 1', true],
    ["diagnostic.state == 'succeeded'", false],
    ["diagnostic.output.contains('full') && sample.used > 90", true],
    ['diagnostic.nothing', false],
  ])('by %j is %s', (when, holds) => {
    expect(recoveryHolds(when, ended, { used: 97 })).toBe(holds);
  });

  it('without a diagnostic can ask whether there was one', () => {
    expect([
      recoveryHolds('!has(diagnostic.state)', undefined, undefined),
      recoveryHolds('diagnostic.exit_code == 1', undefined, {}),
    ]).toEqual([true, false]);
  });
});

describe('what a process says', () => {
  const ended = { exitCode: 0, stdout: '', stderr: '' };

  it.each([
    ['an object', '{"a": 1}', { a: 1 }],
    ['a list', '[{"a": 1}]', [{ a: 1 }]],
    ['an empty list', '[]', []],
    ['an object on each line', '{"a": 1}\n\n{"a": 2}\n', [{ a: 1 }, { a: 2 }]],
  ])('is a sample when it is %s', (_name, stdout, sample) => {
    expect(sampleOfProcess('json', { ...ended, stdout })).toEqual({ ok: true, sample });
  });

  it.each([
    ['nothing', { stdout: '' }, 'what it printed is no JSON object or list of them'],
    ['text', { stdout: 'all is well\n' }, 'what it printed is no JSON object or list of them: all is well'],
    ['a list of numbers', { stdout: '[1]' }, 'what it printed is no JSON object or list of them: [1]'],
    ['another exit code', { stdout: '{}', exitCode: 3, stderr: 'no df\nhere' }, 'it ended with code 3: no df'],
    ['a signal', { exitCode: undefined }, 'it was killed'],
  ])('is no sample when it is %s', (_name, more, error) => {
    expect(sampleOfProcess('json', { ...ended, ...more })).toEqual({ ok: false, error });
  });

  it('is a sample as it is, whatever its exit code, where the pack reads text', () => {
    const sample = { exit_code: 2, stdout: 'x', stderr: 'y' };
    expect(sampleOfProcess('text', { exitCode: 2, stdout: 'x', stderr: 'y' })).toEqual({ ok: true, sample });
  });
});
