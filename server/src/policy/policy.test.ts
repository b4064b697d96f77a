import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Attributes, parseSelector } from '../agents/selector.ts';
import { heartbeatPolicyKind } from './heartbeat-policy.ts';
import { type OverrideSpec, overrideKind } from './override.ts';
import { byPrecedence, specificityOf } from './precedence.ts';
import { type Named, resolveHeartbeat, resolveOverrides } from './resolve.ts';
import { readSpec, specOf } from './testing.ts';

function override(name: string, yaml: string): Named<OverrideSpec> {
  return { name, spec: specOf(overrideKind, `watch: linux/disk\n${yaml}`) };
}

const web1: Attributes = { id: 'a1', name: 'web-1', labels: { role: 'web', env: 'prod' }, facts: { os: 'linux' } };

describe('an override', () => {
  it('may change whether a rule or monitor holds, its severity, its settings, its threshold and its schedule', () => {
    const spec = specOf(
      overrideKind,
      `{watch: linux/disk-space, on: 'role=web,env=prod', priority: 5, enabled: true, severity: warning, reason: small disks,
        settings: {warning_percent: 80, path: /srv}, threshold: {count: 5, within: 2m}, absence: {within: 30s}, every: 5m,
        samples: 3, resetAfter: 1h}`,
    );
    expect(spec).toMatchObject({
      pack: 'linux',
      watch: 'disk-space',
      on: { selector: parseSelector('role=web,env=prod'), text: 'role=web,env=prod' },
      priority: 5,
      enabled: true,
      severity: 'warning',
      reason: 'small disks',
      settings: {
        warning_percent: 80,
        path: '/srv',
        'threshold.count': 5,
        'threshold.within_ms': 120_000,
        'absence.within_ms': 30_000,
        every_ms: 300_000,
        samples: 3,
        'reset.after_ms': 3_600_000,
      },
    });
  });

  it.each([
    ['{watch: linux/disk}', '1:1: it changes nothing: say'],
    ['{watch: linux, enabled: false}', "1:9: 'linux' names no rule or monitor"],
    ['{enabled: false}', "1:1: 'spec' needs 'watch'"],
    [
      '{watch: a/b, on: "role in web", enabled: false}',
      "1:27: 'on' is no target expression: expected `(` before the list",
    ],
    ['{watch: a/b, on: "", enabled: false}', "1:18: 'on' is empty"],
    ['{watch: a/b, enable: false}', "1:14: unknown field 'enable' in 'spec'; did you mean 'enabled'?"],
    ['{watch: a/b, settings: {A: 1}}', "1:25: 'A' is no name for a setting"],
    ['{watch: a/b, settings: {a: [1]}}', "1:28: setting 'a' must be a number"],
    ['{watch: a/b, severity: bad}', "1:24: 'severity' must be one of"],
    ['{watch: a/b, threshold: {within: 5}}', "1:34: 'within' must be a time"],
    ['{watch: a/b, enabled: true, priority: 1.5}', "1:39: 'priority' must be a whole number"],
  ])('%s is refused with its place', (yaml, problem) => {
    expect(readSpec(overrideKind, yaml).problems).toContainEqual(expect.stringContaining(problem));
  });
});

describe('where several overrides select an agent', () => {
  it('names win over several terms, those over one, that over all; other selectors do not count', () => {
    const resolved = resolveOverrides(
      [
        override('everywhere', 'settings: {a: 1, b: 1, c: 1, d: 1}'),
        override('linux', 'on: os=linux\nsettings: {a: 2, b: 2, c: 2}'),
        override('prod-web', 'on: role=web,env=prod\nsettings: {a: 3, b: 3}'),
        override('this-one', 'on: name=web-1\nsettings: {a: 4}'),
        override('db', 'on: role=db\nenabled: false'),
      ],
      web1,
    );
    expect(resolved).toMatchObject({
      settings: { a: 4, b: 3, c: 2, d: 1 },
      enabled: undefined,
      severity: undefined,
    });
    expect(resolved.layers.map(({ name, specificity }) => [name, specificity])).toEqual([
      ['this-one', 'name'],
      ['prod-web', 'several terms'],
      ['linux', 'one term'],
      ['everywhere', 'all'],
    ]);
    expect(resolved.layers[3]?.overruled).toEqual(
      new Map([
        ['a', 'this-one'],
        ['b', 'prod-web'],
        ['c', 'linux'],
      ]),
    );
  });

  it('the higher priority wins between selectors that are equally specific, and never over a more specific one', () => {
    const resolved = resolveOverrides(
      [
        override('loud', 'on: role=web\npriority: 9\nseverity: critical\nenabled: false'),
        override('quiet', 'on: env=prod\nseverity: information'),
        override('exact', 'on: name in (web-1)\nenabled: true'),
      ],
      web1,
    );
    expect(resolved).toMatchObject({ severity: 'critical', enabled: true });
  });

  it('the name decides the rest, so that the order in which they were applied never does', () => {
    const a = override('a', 'enabled: true');
    const b = override('b', 'enabled: false');
    expect(resolveOverrides([a, b], web1).enabled).toBe(true);
    expect(resolveOverrides([b, a], web1).enabled).toBe(true);
  });

  it('the order is a total one', () => {
    const selectors = ['all', 'a=1', 'a=1,b=2', 'name=x', '!c', 'id=y,a=1', 'name!=x'].map(parseSelector);
    const ranked = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      on: fc.constantFrom(...selectors),
      priority: fc.integer({ min: -1, max: 1 }),
    });
    fc.assert(
      fc.property(fc.tuple(ranked, ranked, ranked), ([x, y, z]) => {
        expect(Math.sign(byPrecedence(x, y))).toBe(-Math.sign(byPrecedence(y, x)) + 0);
        if (byPrecedence(x, y) <= 0 && byPrecedence(y, z) <= 0) expect(byPrecedence(x, z)).toBeLessThanOrEqual(0);
        if (byPrecedence(x, y) === 0) expect([x.name, specificityOf(x.on)]).toEqual([y.name, specificityOf(y.on)]);
      }),
    );
  });

  it('each setting has the value of the first that gives one, whatever else they say', () => {
    const value = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer());
    const on = fc.constantFrom('all', 'role=web', 'role=web,env=prod', 'name=web-1', 'role=db');
    const object = fc.tuple(on, fc.integer({ min: -2, max: 2 }), value);
    fc.assert(
      fc.property(fc.array(object, { maxLength: 8 }), (objects) => {
        const named = objects.map(([text, priority, settings], i): Named<OverrideSpec> => {
          const selection = { selector: parseSelector(text), text };
          const spec = {
            pack: 'p',
            watch: 'w',
            on: selection,
            priority,
            settings,
            reason: '',
            at: { watch: 0, settings: {} },
          };
          return { name: `o${i}`, spec: { ...spec, enabled: undefined, severity: undefined } };
        });
        const { settings, layers } = resolveOverrides(named, web1);
        for (const key of ['a', 'b', 'c']) {
          const first = layers.find(({ says }) => says.has(key));
          expect(settings[key]).toBe(first?.says.get(key));
          expect(first?.overruled.has(key) ?? false).toBe(false);
        }
      }),
    );
  });
});

describe('the heartbeat of an agent', () => {
  const defaults = { intervalMs: 15_000, silenceMs: 45_000, stoppedAfterMs: 900_000 };
  const policy = (name: string, yaml: string) => ({ name, spec: specOf(heartbeatPolicyKind, yaml) });

  it('is the server’s where no policy selects it', () => {
    expect(resolveHeartbeat([policy('db', '{on: role=db, interval: 1s}')], web1, defaults)).toEqual({
      heartbeat: { intervalMs: 15_000, silenceMs: 45_000, stoppedAfterMs: 900_000, alert: true, severity: 'critical' },
      layers: [],
    });
  });
  it('is that of the most specific policies, field by field', () => {
    const { heartbeat, layers } = resolveHeartbeat(
      [
        policy('all', '{interval: 60s, stoppedAfter: never}'),
        policy('web', '{on: role=web, misses: 4, severity: warning}'),
        policy('one', '{on: name=web-1, interval: 10s, alert: false}'),
      ],
      web1,
      defaults,
    );
    expect(heartbeat).toEqual({
      intervalMs: 10_000,
      silenceMs: 42_000,
      stoppedAfterMs: undefined,
      alert: false,
      severity: 'warning',
    });
    expect(layers.map(({ name, overruled }) => [name, [...overruled]])).toEqual([
      ['one', []],
      ['web', []],
      ['all', [['interval_ms', 'one']]],
    ]);
  });
  it('keeps the server’s tolerance where only the interval is given, and its interval where only the misses are', () => {
    const silence = (yaml: string) => resolveHeartbeat([policy('x', yaml)], web1, defaults).heartbeat.silenceMs;
    expect(silence('{interval: 2s}')).toBe(7_000);
    expect(silence('{misses: 1}')).toBe(17_000);
  });
  it.each([
    ['{on: role=web}', '1:1: it says nothing'],
    ['{interval: 100ms}', "1:12: 'interval' must be a time"],
    ['{misses: 0}', "1:10: 'misses' must be a whole number"],
    ['{stoppedAfter: ever}', "1:16: 'stoppedAfter' must be a time"],
  ])('%s is refused with its place', (yaml, problem) => {
    expect(readSpec(heartbeatPolicyKind, yaml).problems).toContainEqual(expect.stringContaining(problem));
  });
});
