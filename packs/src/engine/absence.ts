import type { NodeEvent } from '../monitoring.ts';
import type { CompiledRule } from './compiled.ts';
import { contextOf, fire } from './detection.ts';
import { type Captures, type EventMatcher, MatchContext, Sighting } from './matcher.ts';
import type { Outcome } from './outcome.ts';
import { keep, type Pending, type Remembered } from './remembered.ts';
import type { RunningRule } from './rule.ts';
import type { Store } from './store.ts';
import { shortKey } from './texts.ts';
import type { Trouble } from './trouble.ts';

/**
 * An engine that did not run for longer than this (the agent was down, the machine slept) first reads what happened meanwhile: what is awaited
 * may be in it.
 */
const LATE_MS = 30_000;

/** An event that something is to follow. Pure. What is awaited already stays awaited until then. */
export function awaitAfter(
  pending: Pending | undefined,
  event: NodeEvent,
  match: Captures,
  nowUnixMs: number,
  withinMs: number,
): Pending {
  if (pending !== undefined) {
    return { ...pending, count: pending.count + 1, events: keep(pending.events, event), match };
  }
  const at = Math.min(event.atUnixMs, nowUnixMs);
  const due = nowUnixMs + withinMs;
  return { k: 'pending', n: 0, at, due, graced: false, count: 1, events: keep([], event), match };
}

/** Whether what came is what was awaited, and in time: by when it was raised, not by when it was read. Pure. */
export function isInTime({ at }: Pending, event: NodeEvent, withinMs: number): boolean {
  return event.atUnixMs - at <= withinMs;
}

/** What has become of it by now. Pure. */
export function whenDue(pending: Pending, nowUnixMs: number, withinMs: number): Pending | 'over' {
  // The clock was set back: it is waited for as long as the pack says, and no longer.
  if (pending.due > nowUnixMs + withinMs) return { ...pending, due: nowUnixMs + withinMs };
  if (pending.due > nowUnixMs) return pending;
  if (pending.graced || nowUnixMs - pending.due <= LATE_MS) return 'over';
  return { ...pending, graced: true, due: nowUnixMs + Math.min(withinMs, LATE_MS) };
}

export function runAbsence(
  rule: CompiledRule,
  absence: Extract<CompiledRule['condition'], { kind: 'absence' }>,
  store: Store,
  trouble: Trouble,
): Pick<RunningRule, 'matched' | 'expected' | 'tick' | 'dueAtUnixMs'> {
  const { withinMs, by, expectGroups } = absence;
  const awaited = store.shelf(rule.id, isPending, trouble.evicted);
  let dueAt = Math.min(...awaited.entries().map(([, { due }]) => due));

  function nameOf(matcher: EventMatcher, sighting: Sighting, groups: Captures) {
    const context = contextOf(rule, matcher, sighting, groups);
    const name = by === undefined ? '' : trouble.attempt(() => shortKey(by(context)));
    return { name, context };
  }

  function over(name: string, pending: Pending, nowUnixMs: number, out: Outcome[]): void {
    awaited.delete(name);
    const newest = pending.events.at(-1);
    if (newest === undefined) return;
    const { view } = new Sighting(newest, nowUnixMs);
    const context = new MatchContext(view, rule.settings, rule.agent, () => pending.match);
    fire(rule, trouble, context, { events: pending.events, eventCount: pending.count }, nowUnixMs, out);
  }

  return {
    matched(matcher, sighting) {
      const { event, nowUnixMs } = sighting;
      const { name, context } = nameOf(matcher, sighting, rule.groups);
      if (name === undefined) return;
      const pending = awaitAfter(awaited.get(name), event, context.match, nowUnixMs, withinMs);
      awaited.put(name, pending);
      dueAt = Math.min(dueAt, pending.due);
    },
    expected(matcher, sighting, out) {
      if (awaited.size() === 0) return;
      const { name } = nameOf(matcher, sighting, expectGroups);
      const pending = name === undefined ? undefined : awaited.get(name);
      if (name === undefined || pending === undefined) return;
      if (isInTime(pending, sighting.event, withinMs)) awaited.delete(name);
      else over(name, pending, sighting.nowUnixMs, out);
    },
    tick(nowUnixMs, out) {
      dueAt = Number.POSITIVE_INFINITY;
      for (const [name, pending] of awaited.entries()) {
        const next = whenDue(pending, nowUnixMs, withinMs);
        if (next === 'over') {
          over(name, pending, nowUnixMs, out);
          continue;
        }
        if (next !== pending) awaited.put(name, next);
        dueAt = Math.min(dueAt, next.due);
      }
    },
    dueAtUnixMs: () => (awaited.size() === 0 ? undefined : dueAt),
  };
}

function isPending(entry: Remembered): entry is Pending {
  return entry.k === 'pending';
}
