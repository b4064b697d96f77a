import { describe, expect, it } from 'vitest';
import { PackError } from '../errors.ts';
import { packWith } from '../testing/watches.ts';
import { parseCases, runCase } from './index.ts';

const pack = packWith(`
rules:
  burst:
    title: Burst
    settings: {name: x}
    on: {source: app, pattern: 'failed (?P<n>\\d+)'}
    threshold: {count: 3, within: 10m}
    alert: {severity: warning, title: '\${count} failed, the last was \${match.n} for \${settings.name}'}
    metric: bursts
  silence:
    title: Silence
    on: {source: app, id: begin}
    absence: {expect: {source: app, id: end}, within: 5m}
    alert: {severity: critical, title: It did not end}
monitors:
  queue:
    title: Queue
    probe: {every: 1m, run: {command: [q]}, instance: sample.name, critical: sample.length > 100}
    alert: {title: '\${sample.length} in \${instance}'}
  door:
    title: Door
    events: {warning: {id: open}, healthy: {id: close}}
    reset: {after: 1h}
`);

function play(cases: string): string[][] {
  const head = 'apiVersion: openline.dev/v1\nkind: PackTest\ncases:\n';
  return parseCases(Buffer.from(`${head}${cases}`), 't.yaml', pack).map((each) =>
    runCase(pack, each).failures.flatMap(({ line, atMs, differences }) =>
      differences.map((difference) => `${line} ${atMs}: ${difference}`),
    ),
  );
}

function problems(cases: string): string[] {
  try {
    play(cases);
    return [];
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    return error.issues.map(({ line, message }) => `${line - 3}: ${message}`);
  }
}

describe('a test of a pack', () => {
  it('tells events and samples, lets time pass, and compares what comes of it', () => {
    const passing = `
  - title: all kinds
    agent: {name: a, labels: {role: web}, facts: {os: linux}}
    overrides: [{watch: burst, severity: critical, settings: {name: y, threshold.count: 4}}]
    steps:
      - event: {source: app, message: 'failed \${i + 7}'}
        repeat: 4
        every: 1m
        expect:
          detections:
            - rule: burst
              count: 4
              alert: {severity: critical, title: '4 failed, the last was 10 for y'}
              events: [{message: failed 7}, {}, {}, {message: /10$/}]
          metrics: [{metric: bursts}]
      - at: 10m
        event: {source: app, id: begin}
        expect: nothing
      - at: 14m
        expect: nothing
      - at: 15m
        expect: {detections: [{rule: silence}]}
      - sample: {monitor: queue, value: [{name: in, length: 5}, {name: out, length: '\${100 + 1}'}]}
        expect: {states: [{instance: in, to: healthy, alert: null}, {instance: out, to: critical, alert: {title: 101 in out, key: out}}]}
      - sample: {monitor: queue, stdout: 'oops'}
        expect: {states: [{to: unknown}, {to: unknown, reason: /no JSON.*oops/}]}
      - event: {id: open}
        expect: {states: [{monitor: door, from: healthy, to: warning}]}
      - at: 75m
        expect: {states: [{monitor: door, to: healthy}]}
      - event: {id: open}
      - reset: {monitor: door}
        expect: {states: [{monitor: door, from: warning, to: healthy, reason: reset by a person}]}
`;
    expect(play(passing)).toEqual([[]]);
  });

  it('says what differs, where, and when', () => {
    const failing = `
  - title: wrong
    steps:
      - at: 1m
        sample: {monitor: queue, value: {name: in, length: 500}}
        expect:
          states: [{instance: out, to: /warn/, alert: {title: x}}, {instance: more}]
          detections: []
      - event: {source: app, id: begin}
      - at: 10m
        expect: nothing
`;
    expect(play(failing)).toEqual([
      [
        '7 60000: states[0].instance: expected "out", got "in"',
        '7 60000: states[0].to: expected "/warn/", got "critical"',
        '7 60000: states[0].alert.title: expected "x", got "500 in in"',
        '7 60000: states[1]: expected {"instance":"more"}, got nothing',
        expect.stringMatching(/^13 600000: detections\[0\]: expected nothing, got \{"rule":"silence"/),
      ],
    ]);
  });

  it('does not take an expression that fails for no match', () => {
    const fails = (more: string) => `
  - title: T
    ${more}
    steps:
      - sample: {monitor: queue, value: {name: in}}
        expect: {states: [{to: unknown}]}
`;
    expect(play(fails('allowErrors: false'))).toEqual([
      ['5 0: queue: an expression failed, 1 times: No such key: length'],
    ]);
    expect(play(fails('allowErrors: true'))).toEqual([[]]);
  });

  it('does not leave out an override that makes no sense', () => {
    const one = `
  - title: T
    overrides: [{watch: burst, settings: {nme: y}}]
    steps: [{expect: nothing}]
`;
    expect(play(one)).toEqual([["5 0: p/burst: there is no setting 'nme'; did you mean 'name'?"]]);
  });

  it('names the rules and monitors of which it saw something', () => {
    const text = `apiVersion: openline.dev/v1
kind: PackTest
cases:
  - title: T
    steps:
      - {event: {source: app, id: begin}}
      - {at: 5m, expect: {detections: [{}]}}
      - {event: {id: open}}
`;
    const [only] = parseCases(Buffer.from(text), 't.yaml', pack);
    expect(only === undefined ? [] : [...runCase(pack, only).touched]).toEqual(['silence']);
  });
});

describe('tests that make no sense', () => {
  const steps = (text: string) => problems(`  - title: T\n    steps:\n      - {expect: nothing}\n      - ${text}\n`);

  it.each([
    ['{at: 1m, evnt: {}}', "unknown field 'evnt' in a step; did you mean 'event'?"],
    ['{sample: {monitor: que, value: {}}}', "pack p has no 'que'"],
    [
      '{sample: {monitor: queue}}',
      "a sample has exactly one of 'value', 'error', 'stdout' (with 'stderr' and 'exitCode')",
    ],
    ['{event: {}, reset: {monitor: door}}', 'a step has at most one of event, sample, reset'],
    [`{event: {message: '\${j}'}}`, "in 'message': there is no 'j' here; did you mean 'i'?"],
    ['{expect: {detections: [{rul: burst}]}}', "unknown field 'rul' in one of 'detections'; did you mean 'rule'?"],
    ['{expect: {states: [{monitor: burst}]}}', "pack p has no 'burst'"],
    [
      '{expect: {states: [{reason: /(/}]}}',
      'between slashes stands no regular expression of RE2: missing closing ): `(`',
    ],
    ['{expect: {}}', "'expect' says nothing; the word nothing stands for: nothing must come"],
    ['{every: 1m}', "'every' says how far apart repetitions are, and goes with 'repeat'"],
  ])('are refused: %s', (step, problem) => {
    expect(steps(step)).toEqual([`4: ${problem}`]);
  });

  it('are refused when they could never fail, and when time runs back', () => {
    expect(problems('  - title: T\n    steps: [{event: {}}]\n')).toEqual([
      "1: this case cannot fail: no step of it says 'expect'",
    ]);
    expect(problems('  - title: T\n    steps:\n      - {at: 5m}\n      - {at: 4m, expect: nothing}\n')).toEqual([
      "4: 'at' is before the step before it: time only goes on",
    ]);
  });
});
