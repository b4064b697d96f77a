import type { HealthState } from '../monitoring.ts';
import type { CompiledMonitor } from './compiled.ts';
import { afterEvent, afterReset, newInstance } from './health.ts';
import { createInstances, type Instances } from './instances.ts';
import { type EventMatcher, MatchContext, type Sighting } from './matcher.ts';
import type { Outcome, ProbeResult } from './outcome.ts';
import { createJudge } from './probe-monitor.ts';
import type { Store } from './store.ts';
import { shortKey } from './texts.ts';
import type { Trouble } from './trouble.ts';

/** A monitor at work. */
export interface RunningMonitor {
  /** An event matched what says this state. */
  said(state: HealthState, matcher: EventMatcher, sighting: Sighting, out: Outcome[]): void;
  sample(result: ProbeResult, nowUnixMs: number, out: Outcome[]): void;
  /** @param instance '' for all */
  reset(instance: string, nowUnixMs: number, out: Outcome[]): void;
  /** Before all else: drops what an earlier version of the monitor left, and says that it watches. */
  begin(nowUnixMs: number, out: Outcome[]): void;
  tick(nowUnixMs: number, out: Outcome[]): void;
  dueAtUnixMs(): number | undefined;
}

export function runMonitor(monitor: CompiledMonitor, store: Store, trouble: Trouble): RunningMonitor {
  const instances = createInstances(monitor, store, trouble);
  const { input } = monitor;
  const timer = createTimer(monitor, instances);
  return {
    ...timer,
    said: input.kind === 'events' ? createListener(monitor, input, instances, trouble) : () => {},
    sample: input.kind === 'probe' ? createJudge(monitor, input, instances, trouble) : () => {},
    reset(instance, nowUnixMs, out) {
      for (const [name, it] of instances.entries()) {
        if (instance !== '' && instance !== name) continue;
        instances.set(name, afterReset(it), nowUnixMs, { reason: 'reset by a person' }, out);
      }
    },
    begin(nowUnixMs, out) {
      const stale = instances.entries().filter(([name]) => (name === '') !== (monitor.instance === undefined));
      for (const [name, it] of stale) {
        // A probe with instances that never worked has the nameless one.
        if (name === '' && it.unknown) continue;
        instances.set(name, undefined, nowUnixMs, { reason: 'the monitor has changed' }, out);
      }
      if (input.kind === 'events' && monitor.instance === undefined && instances.get('') === undefined) {
        instances.set('', newInstance, nowUnixMs, { reason: 'it is watched from now on' }, out);
      }
    },
  };
}

type EventsInput = Extract<CompiledMonitor['input'], { kind: 'events' }>;

function createListener(monitor: CompiledMonitor, input: EventsInput, instances: Instances, trouble: Trouble) {
  const sticks = monitor.reset.kind === 'manual';
  return (said: HealthState, matcher: EventMatcher, sighting: Sighting, out: Outcome[]): void => {
    const { event, nowUnixMs } = sighting;
    const context = new MatchContext(sighting.view, monitor.settings, monitor.agent, () => ({
      ...input.groups,
      ...matcher.pattern?.captures(event.message),
    }));
    const { instance } = monitor;
    const name = instance === undefined ? '' : trouble.attempt(() => shortKey(instance(context)));
    if (name === undefined || (name === '') !== (instance === undefined)) return;
    const before = instances.get(name);
    // Of what was never bad, nobody asked.
    if (before === undefined && said === 'healthy' && instance !== undefined) return;
    if (!instances.hasRoomFor(name) && !makeRoom(instances, nowUnixMs, out)) {
      trouble.evicted();
      return;
    }
    const contextOf = (_instance: string, state: string) => Object.assign(context, { instance: name, state });
    const cause = { reason: `${said}: ${event.message}`, events: [event], contextOf };
    instances.set(name, afterEvent(before ?? newInstance, said, nowUnixMs, sticks), nowUnixMs, cause, out);
  };
}

/** Gives up one that is healthy. One that is not stays: its alert would close. */
function makeRoom(instances: Instances, nowUnixMs: number, out: Outcome[]): boolean {
  const healthy = instances.entries().find(([, { state }]) => state === 'healthy');
  if (healthy === undefined) return false;
  instances.set(healthy[0], undefined, nowUnixMs, { reason: 'there are too many instances' }, out);
  return true;
}

function createTimer({ reset }: CompiledMonitor, instances: Instances): Pick<RunningMonitor, 'tick' | 'dueAtUnixMs'> {
  if (reset.kind !== 'timer') return { tick() {}, dueAtUnixMs: () => undefined };
  const { afterMs } = reset;
  const bad = () => instances.entries().filter(([, { state }]) => state !== 'healthy');
  return {
    tick(nowUnixMs, out) {
      for (const [name, it] of bad()) {
        const cause = { reason: `nothing bad for ${Math.round(afterMs / 1000)} s` };
        // Badness from the future is from before the clock was set back.
        if (it.badAt > nowUnixMs) instances.set(name, { ...it, badAt: nowUnixMs }, nowUnixMs, cause, out);
        else if (it.badAt + afterMs <= nowUnixMs) instances.set(name, afterReset(it), nowUnixMs, cause, out);
      }
    },
    dueAtUnixMs() {
      const due = bad().map(([, { badAt }]) => badAt + afterMs);
      return due.length === 0 ? undefined : Math.min(...due);
    },
  };
}
