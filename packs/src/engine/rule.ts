import { runAbsence } from './absence.ts';
import type { CompiledRule } from './compiled.ts';
import { contextOf, fire } from './detection.ts';
import type { EventMatcher, Sighting } from './matcher.ts';
import type { Outcome } from './outcome.ts';
import type { Store } from './store.ts';
import { runThreshold } from './threshold.ts';
import type { Trouble } from './trouble.ts';

/** A rule at work. */
export interface RunningRule {
  /** An event matched `on`. */
  matched(matcher: EventMatcher, sighting: Sighting, out: Outcome[]): void;
  /** An event matched `expect`. */
  expected(matcher: EventMatcher, sighting: Sighting, out: Outcome[]): void;
  tick(nowUnixMs: number, out: Outcome[]): void;
  dueAtUnixMs(): number | undefined;
}

export function runRule(rule: CompiledRule, store: Store, trouble: Trouble): RunningRule {
  const idle = { expected() {}, tick() {}, dueAtUnixMs: () => undefined };
  const { condition } = rule;
  switch (condition.kind) {
    case 'each':
      return {
        ...idle,
        matched(matcher, sighting, out) {
          const context = contextOf(rule, matcher, sighting, rule.groups);
          fire(rule, trouble, context, { events: [sighting.event], eventCount: 1 }, sighting.nowUnixMs, out);
        },
      };
    case 'threshold':
      return { ...idle, ...runThreshold(rule, condition, store, trouble) };
    case 'absence':
      return runAbsence(rule, condition, store, trouble);
    default:
      return condition satisfies never;
  }
}
