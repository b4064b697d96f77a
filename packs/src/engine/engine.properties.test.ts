import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { watchesWith } from '../testing/watches.ts';
import { applyChange, createEngine, type Engine, type EngineState, type Outcome, type ProbeResult } from './index.ts';

/** One of every kind. */
const watches = watchesWith(`
rules:
  each: {title: T, on: {pattern: 'on (?P<who>\\S+)'}, alert: {severity: warning, title: '\${match.who}', key: match.who}}
  threshold:
    title: T
    on: {source: [a, b], pattern: '(?P<who>\\S+)$'}
    threshold: {count: 3, within: 60s, by: match.who}
    alert: {severity: warning, title: '\${count} of \${match.who}'}
  absence:
    title: T
    on: {pattern: 'on (?P<who>\\S+)'}
    absence: {expect: {pattern: 'off (?P<who>\\S+)'}, within: 40s, by: match.who}
    alert: {severity: critical, title: '\${match.who} stays on', key: match.who}
monitors:
  sampled:
    title: T
    probe:
      every: 10s
      run: {command: [x]}
      instance: sample.name
      trend: {value: sample.v, over: 2m}
      samples: 2
      warning: sample.v > 50
      critical: trend.hours_to(100) < 0.01
    alert: {title: '\${instance} \${sample.v}'}
  heard:
    title: T
    events: {warning: {source: a, level: error}, healthy: {source: b, level: error}}
    reset: {after: 90s}
  stuck:
    title: T
    events: {critical: {pattern: 'on (?P<who>\\S+)'}, instance: match.who}
    reset: manual
`);

type Step =
  | {
      readonly kind: 'event';
      readonly source: string;
      readonly level: 'info' | 'error';
      readonly message: string;
      readonly late: number;
    }
  | { readonly kind: 'sample'; readonly result: ProbeResult }
  | { readonly kind: 'tick' }
  | { readonly kind: 'reset' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      source: fc.constantFrom('a', 'b', 'c'),
      level: fc.constantFrom('info' as const, 'error' as const),
      message: fc.tuple(fc.constantFrom('on', 'off'), fc.constantFrom('x', 'y', 'z')).map((words) => words.join(' ')),
      late: fc.oneof(fc.constant(0), fc.integer({ min: -50_000, max: 300_000 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('sample' as const),
      result: fc.oneof(
        fc.constant({ ok: false as const, error: 'broken' }),
        fc
          .array(fc.record({ name: fc.constantFrom('p', 'q', 'r'), v: fc.integer({ min: 0, max: 100 }) }), {
            maxLength: 4,
          })
          .map((sample) => ({ ok: true as const, sample })),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'tick' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reset' as const }) },
);
/** Mostly onwards, now and then a jump, either way. */
const pause = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -7_200_000, max: 7_200_000 }) },
);
const story = fc.array(fc.tuple(pause, step), { maxLength: 60 });
const begin = 1_800_000_000_000;

function perform(engine: Engine, what: Step, now: number): readonly Outcome[] {
  switch (what.kind) {
    case 'event': {
      const { source, level, message, late } = what;
      return engine.event({ log: 'l', id: '', source, level, message, data: {}, atUnixMs: now - late }, now);
    }
    case 'sample':
      return engine.sample('p', 'sampled', what.result, now);
    case 'tick':
      return engine.tick(now);
    case 'reset':
      return engine.reset('p', 'stuck', '', now);
    default:
      return what satisfies never;
  }
}

/** As it would be sent, texts and all. */
function sent(outcomes: readonly Outcome[]): unknown {
  return outcomes.map((outcome) =>
    outcome.kind === 'detection' ? { ...outcome, alert: outcome.alert, run: outcome.run } : outcome,
  );
}

function times(steps: readonly [number, Step][]): number[] {
  let now = begin;
  return steps.map(([ms]) => {
    now += ms;
    return now;
  });
}

/** Something for each entry of a state. */
const damaging: readonly Step[] = [
  { kind: 'event', source: 'a', level: 'error', message: 'on x', late: 0 },
  { kind: 'sample', result: { ok: true, sample: [{ name: 'p', v: 1 }] } },
];

const throughJson = (state: EngineState): EngineState => JSON.parse(JSON.stringify(state));

describe('an engine', () => {
  it('does the same for the same', () => {
    fc.assert(
      fc.property(story, (steps) => {
        const at = times(steps);
        const tell = () => {
          const engine = createEngine(watches);
          const outcomes = steps.map(([, what], i) => sent(perform(engine, what, at[i] ?? 0)));
          return { outcomes, state: engine.state(), due: engine.dueAtUnixMs() };
        };
        expect(tell()).toEqual(tell());
      }),
    );
  });

  it('goes on as if nothing had been when it is made again from its state, at any moment, any number of times', () => {
    fc.assert(
      fc.property(story, fc.infiniteStream(fc.boolean()), (steps, restarts) => {
        const at = times(steps);
        const lasting = createEngine(watches);
        let dying = createEngine(watches);
        for (const [i, [, what]] of steps.entries()) {
          if (restarts.next().value === true) {
            dying = createEngine(watches, throughJson(dying.state()));
            // What a start does first must not be seen.
            expect(dying.tick(at[i] ?? 0)).toEqual(lasting.tick(at[i] ?? 0));
          }
          expect(sent(perform(dying, what, at[i] ?? 0))).toEqual(sent(perform(lasting, what, at[i] ?? 0)));
        }
      }),
    );
  });

  it('tells its changes in full: put together they are its state', () => {
    fc.assert(
      fc.property(story, fc.infiniteStream(fc.boolean()), (steps, asks) => {
        const at = times(steps);
        const engine = createEngine(watches);
        let kept: EngineState = {};
        for (const [i, [, what]] of steps.entries()) {
          perform(engine, what, at[i] ?? 0);
          if (asks.next().value === true) kept = applyChange(kept, changeThroughJson(engine.changes()));
        }
        kept = applyChange(kept, changeThroughJson(engine.changes()));
        expect(kept).toEqual(throughJson(engine.state()));
      }),
    );
  });

  it('forgets what of a saved state is not as it would have saved it, and works', () => {
    const good = createEngine(watches);
    good.tick(begin);
    for (const what of damaging) perform(good, what, begin);
    const saved: [string, unknown][] = Object.entries(throughJson(good.state()));
    expect(saved.map(([key]) => key.split('\n')[0]).toSorted()).toEqual([
      'p/absence',
      'p/heard',
      'p/sampled',
      'p/stuck',
      'p/threshold',
    ]);
    fc.assert(
      fc.property(fc.constantFrom(...saved), fc.anything(), fc.nat(), ([key, entry], junk, n) => {
        fc.pre(typeof entry === 'object' && entry !== null);
        const fields = Object.keys(entry ?? {});
        const damaged = { ...entry, [fields[n % fields.length] ?? '']: junk };
        const engine = createEngine(watches, { ...Object.fromEntries(saved), [key]: damaged });
        engine.tick(begin);
        for (const what of damaging) perform(engine, what, begin + 1000);
        engine.tick(begin + 3_600_000);
        expect(throughJson(engine.state())).toEqual(engine.state());
      }),
      { numRuns: 500 },
    );
  });

  it('keeps a bounded state, whatever it is told', () => {
    const word = fc.string({ maxLength: 30 });
    fc.assert(
      fc.property(fc.array(fc.tuple(word, word), { minLength: 50, maxLength: 300 }), (words) => {
        const engine = createEngine(watches);
        engine.tick(0);
        for (const [i, [source, who]] of words.entries()) {
          const message = `on ${who}${'x'.repeat(5000)} ${who}`;
          engine.event(
            { log: 'l', id: '', source: i % 2 === 0 ? 'a' : source, level: 'error', message, data: {}, atUnixMs: i },
            i,
          );
        }
        expect(JSON.stringify(engine.state()).length).toBeLessThan(words.length * 5 * 1500);
      }),
      { numRuns: 20 },
    );
  });

  it('waits for nothing longer than the pack says, whichever way the clock jumps', () => {
    fc.assert(
      fc.property(story, (steps) => {
        const at = times(steps);
        const engine = createEngine(watches);
        for (const [i, [, what]] of steps.entries()) perform(engine, what, at[i] ?? 0);
        // The longest time in the watches is 120 s; those that are late are given 30 s more.
        let now = at.at(-1) ?? begin;
        engine.tick(now);
        for (let i = 0; i < 20 && engine.dueAtUnixMs() !== undefined; i++) {
          now += 15_000;
          engine.tick(now);
        }
        const left = Object.keys(engine.state()).filter((key) => key.startsWith('p/absence'));
        const heard = engine.reset('p', 'heard', '', now);
        expect([left, heard]).toEqual([[], []]);
      }),
    );
  });
});

function changeThroughJson(change: ReturnType<Engine['changes']>): ReturnType<Engine['changes']> {
  return JSON.parse(JSON.stringify(change));
}
