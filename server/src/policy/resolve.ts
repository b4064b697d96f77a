import type { Settings, Severity } from '@openline/packs';
import { type Attributes, selects } from '../agents/selector.ts';
import type { HeartbeatPolicySpec } from './heartbeat-policy.ts';
import type { OverrideSpec } from './override.ts';
import { byPrecedence, type Specificity, specificityOf } from './precedence.ts';
import type { Selection } from './read-fields.ts';

/** What holds on one agent, and which object says so. Pure. */

export interface Named<Spec> {
  readonly name: string;
  readonly spec: Spec;
}

interface Selecting {
  readonly on: Selection;
  readonly priority: number;
  readonly reason: string;
}

/** One object that selects the agent, and what of it counts. */
export interface Layer {
  readonly name: string;
  /** As it was written. */
  readonly on: string;
  readonly specificity: Specificity;
  readonly priority: number;
  readonly reason: string;
  /** What it says, field → value; each setting is a field of its own. */
  readonly says: ReadonlyMap<string, string | number | boolean>;
  /** Fields that another object has the last word on → its name. */
  readonly overruled: ReadonlyMap<string, string>;
}

/** Those that select the agent; the one with the last word first. */
function selecting<Spec extends Selecting>(objects: readonly Named<Spec>[], agent: Attributes): Named<Spec>[] {
  const ranked = ({ name, spec }: Named<Spec>) => ({ name, on: spec.on.selector, priority: spec.priority });
  return objects
    .filter(({ spec }) => selects(spec.on.selector, agent))
    .sort((a, b) => byPrecedence(ranked(a), ranked(b)));
}

/** Each field is said by the first that says anything of it. */
function layersOf<Spec extends Selecting>(
  sorted: readonly Named<Spec>[],
  fieldsOf: (spec: Spec) => Readonly<Record<string, string | number | boolean | undefined>>,
): Layer[] {
  const saidBy = new Map<string, string>();
  return sorted.map(({ name, spec }) => {
    const says = new Map<string, string | number | boolean>();
    const overruled = new Map<string, string>();
    for (const [field, value] of Object.entries(fieldsOf(spec))) {
      if (value === undefined) continue;
      says.set(field, value);
      const winner = saidBy.get(field);
      if (winner === undefined) saidBy.set(field, name);
      else overruled.set(field, winner);
    }
    const { on, priority, reason } = spec;
    return { name, on: on.text, specificity: specificityOf(on.selector), priority, reason, says, overruled };
  });
}

function firstOf<Spec, Value>(
  sorted: readonly Named<Spec>[],
  read: (spec: Spec) => Value | undefined,
): Value | undefined {
  for (const { spec } of sorted) {
    const value = read(spec);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** What overrides make of one rule or monitor on one agent. */
export interface WatchOverrides {
  readonly enabled: boolean | undefined;
  readonly severity: Severity | undefined;
  readonly settings: Settings;
  readonly layers: readonly Layer[];
}

/** @param overrides of one rule or monitor */
export function resolveOverrides(overrides: readonly Named<OverrideSpec>[], agent: Attributes): WatchOverrides {
  const sorted = selecting(overrides, agent);
  const settings: Record<string, Settings[string]> = {};
  for (const { spec } of sorted.toReversed()) Object.assign(settings, spec.settings);
  return {
    enabled: firstOf(sorted, (spec) => spec.enabled),
    severity: firstOf(sorted, (spec) => spec.severity),
    settings,
    layers: layersOf(sorted, ({ enabled, severity, settings }) => ({ ...settings, enabled, severity })),
  };
}

/** What the server's configuration says where no policy does. */
export interface HeartbeatDefaults {
  readonly intervalMs: number;
  /** Silence after which the line counts as lost. */
  readonly silenceMs: number;
  readonly stoppedAfterMs: number;
}

export interface Heartbeat {
  readonly intervalMs: number;
  readonly silenceMs: number;
  /** undefined: never. */
  readonly stoppedAfterMs: number | undefined;
  readonly alert: boolean;
  readonly severity: Severity;
}

export function resolveHeartbeat(
  policies: readonly Named<HeartbeatPolicySpec>[],
  agent: Attributes,
  defaults: HeartbeatDefaults,
): { readonly heartbeat: Heartbeat; readonly layers: readonly Layer[] } {
  const sorted = selecting(policies, agent);
  const intervalMs = firstOf(sorted, (spec) => spec.intervalMs);
  const misses = firstOf(sorted, (spec) => spec.misses);
  const stoppedAfterMs = firstOf(sorted, (spec) => spec.stoppedAfterMs) ?? defaults.stoppedAfterMs;
  const heartbeat: Heartbeat = {
    intervalMs: intervalMs ?? defaults.intervalMs,
    silenceMs: silenceOf(intervalMs, misses, defaults),
    stoppedAfterMs: stoppedAfterMs === 'never' ? undefined : stoppedAfterMs,
    alert: firstOf(sorted, (spec) => spec.alert) ?? true,
    severity: firstOf(sorted, (spec) => spec.severity) ?? 'critical',
  };
  const layers = layersOf(sorted, (spec) => ({
    interval_ms: spec.intervalMs,
    misses: spec.misses,
    stopped_after_ms: spec.stoppedAfterMs,
    alert: spec.alert,
    severity: spec.severity,
  }));
  return { heartbeat, layers };
}

/** A policy that gives only one of the two takes the other from the proportions of the server's own. */
function silenceOf(intervalMs: number | undefined, misses: number | undefined, defaults: HeartbeatDefaults): number {
  if (intervalMs === undefined && misses === undefined) return defaults.silenceMs;
  const tolerated = misses ?? Math.max(1, Math.round(defaults.silenceMs / defaults.intervalMs));
  const every = intervalMs ?? defaults.intervalMs;
  // A heartbeat that is sent in time still has to travel.
  return every * tolerated + Math.min(every / 2, TRAVEL_MS);
}

const TRAVEL_MS = 2_000;
