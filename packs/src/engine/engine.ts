import type { HealthState } from '../monitoring.ts';
import type { CompiledMonitor, CompiledRule } from './compiled.ts';
import { idOf } from './compiled.ts';
import { createEventIndex, type Listener } from './event-index.ts';
import { shownState } from './health.ts';
import { type EventMatcher, holds, MatchContext, Sighting } from './matcher.ts';
import { type RunningMonitor, runMonitor } from './monitor.ts';
import type { Outcome, ProbePlan, WatchRef } from './outcome.ts';
import { type Instance, type Remembered, readRemembered } from './remembered.ts';
import { runRule } from './rule.ts';
import { Store, splitKey } from './store.ts';
import { Trouble } from './trouble.ts';
import type { Engine, EngineState } from './types.ts';
import type { CompiledWatches } from './watches.ts';

/** Who is asked about events: a rule's `on` or `expect`, or a monitor. An event speaks to each once. */
interface Target {
  readonly watch: CompiledRule | CompiledMonitor;
  readonly trouble: Trouble;
  take(matcher: EventMatcher, sighting: Sighting, out: Outcome[]): void;
}

const none: readonly Outcome[] = [];

export function createEngineOf(watches: CompiledWatches, saved: EngineState): Engine {
  const store = new Store();
  const orphans = load(store, saved, watches);
  const troubles: Trouble[] = [];
  const troubleOf = (ref: WatchRef) => {
    const trouble = new Trouble(ref);
    troubles.push(trouble);
    return trouble;
  };
  const listeners: Listener<Target>[] = [];
  const monitors = new Map<string, RunningMonitor>();
  const rules = watches.rules.map((rule) => {
    const trouble = troubleOf(rule.ref);
    const running = runRule(rule, store, trouble);
    // What is awaited first: an event that both ends the waiting and begins it anew does so in this order.
    if (rule.condition.kind === 'absence') listen(rule, trouble, rule.condition.expect, running.expected);
    listen(rule, trouble, rule.on, running.matched);
    return running;
  });
  for (const monitor of watches.monitors) {
    const trouble = troubleOf(monitor.ref);
    const running = runMonitor(monitor, store, trouble);
    monitors.set(monitor.id, running);
    if (monitor.input.kind !== 'events') continue;
    const saidBy = new Map<EventMatcher, HealthState>(
      monitor.input.matchers.map(({ said, matcher }) => [matcher, said]),
    );
    listen(monitor, trouble, [...saidBy.keys()], (matcher, sighting, out) =>
      running.said(saidBy.get(matcher) ?? 'healthy', matcher, sighting, out),
    );
  }
  const listenersFor = createEventIndex(listeners);
  const all = [...rules, ...monitors.values()];
  let begun = false;

  function listen(
    watch: Target['watch'],
    trouble: Trouble,
    matchers: readonly EventMatcher[],
    take: Target['take'],
  ): void {
    const target = { watch, trouble, take };
    for (const matcher of matchers) listeners.push({ matcher, target });
  }

  function begin(nowUnixMs: number, out: Outcome[]): void {
    begun = true;
    for (const { monitor, instance, value, key } of orphans) {
      store.drop(key);
      out.push({
        kind: 'state',
        monitor,
        instance,
        atUnixMs: nowUnixMs,
        from: shownState(value),
        to: 'not_monitored',
        reason: 'the monitor no longer holds on this agent',
        sample: undefined,
        events: [],
        alert: undefined,
        diagnostic: undefined,
        recoveries: [],
      });
    }
    orphans.length = 0;
    for (const monitor of monitors.values()) monitor.begin(nowUnixMs, out);
  }

  return {
    event(event, nowUnixMs) {
      const candidates = listenersFor(event);
      if (candidates.length === 0) return none;
      const sighting = new Sighting(event, nowUnixMs);
      const out: Outcome[] = [];
      let spokenTo: Target | undefined;
      for (const { matcher, target } of candidates) {
        if (target === spokenTo || !matches(target, matcher, sighting)) continue;
        spokenTo = target;
        target.take(matcher, sighting, out);
      }
      return out;
    },
    sample(pack, monitor, result, nowUnixMs) {
      const out: Outcome[] = [];
      monitors.get(idOf(pack, monitor))?.sample(result, nowUnixMs, out);
      return out;
    },
    tick(nowUnixMs) {
      const out: Outcome[] = [];
      if (!begun) begin(nowUnixMs, out);
      for (const each of all) each.tick(nowUnixMs, out);
      return out;
    },
    dueAtUnixMs() {
      if (!begun) return 0;
      const due = all.map((each) => each.dueAtUnixMs()).filter((each) => each !== undefined);
      return due.length === 0 ? undefined : Math.min(...due);
    },
    reset(pack, monitor, instance, nowUnixMs) {
      const out: Outcome[] = [];
      monitors.get(idOf(pack, monitor))?.reset(instance, nowUnixMs, out);
      return out;
    },
    plans: () => watches.monitors.flatMap(({ input }): ProbePlan[] => (input.kind === 'probe' ? [input.plan] : [])),
    health: () => troubles.map((trouble) => trouble.health()),
    state: () => ({ ...Object.fromEntries(orphans.map(({ key, value }) => [key, value])), ...store.state() }),
    changes: () => store.changes(),
  };
}

function matches({ watch, trouble }: Target, matcher: EventMatcher, sighting: Sighting): boolean {
  try {
    return holds(matcher, sighting, () => contextFor(watch, matcher, sighting));
  } catch (error) {
    trouble.failed(error);
    return false;
  }
}

function contextFor(watch: Target['watch'], { pattern }: EventMatcher, { view, event }: Sighting): MatchContext {
  return new MatchContext(view, watch.settings, watch.agent, () => pattern?.captures(event.message) ?? {});
}

interface Orphan {
  readonly key: string;
  readonly monitor: WatchRef;
  readonly instance: string;
  readonly value: Instance;
}

/** Fills the store with what the watches can go on with. @returns instances of monitors that hold no more */
function load(store: Store, saved: EngineState, watches: CompiledWatches): Orphan[] {
  const kinds = kindsOf(watches);
  const refs = new Map(watches.statuses.map(({ watch }) => [idOf(watch.pack, watch.name), watch]));
  const loaded: { watchId: string; name: string; value: Remembered }[] = [];
  const orphans: Orphan[] = [];
  for (const [key, raw] of Object.entries(saved)) {
    const value = readRemembered(raw);
    const { watchId, name } = splitKey(key);
    if (value !== undefined && kinds.get(watchId) === value.k) loaded.push({ watchId, name, value });
    else if (value?.k === 'instance') {
      const [pack = '', watch = ''] = watchId.split('/');
      const monitor = refs.get(watchId) ?? { pack, version: '', name: watch };
      orphans.push({ key, monitor, instance: name, value });
    } else store.drop(key);
  }
  store.load(loaded);
  // However the state was kept, it is told in the same order.
  return orphans.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function kindsOf({ rules, monitors }: CompiledWatches): ReadonlyMap<string, Remembered['k']> {
  const kinds = new Map<string, Remembered['k']>();
  for (const { id, condition } of rules) {
    if (condition.kind !== 'each') kinds.set(id, condition.kind === 'threshold' ? 'window' : 'pending');
  }
  for (const { id } of monitors) kinds.set(id, 'instance');
  return kinds;
}
