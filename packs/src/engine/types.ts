import type { NodeEvent, Severity } from '../monitoring.ts';
import type { Outcome, ProbePlan, ProbeResult, WatchHealth, WatchRef } from './outcome.ts';

/** Whose events they are. */
export interface About {
  readonly agentName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** Apart from the signed pack: what holds on this agent instead. */
export interface WatchOverride {
  readonly pack: string;
  /** Of the rule or monitor. */
  readonly watch: string;
  readonly enabled: boolean | undefined;
  readonly severity: Severity | undefined;
  /** The watch's own settings, and `threshold.count`, `threshold.within_ms`, `absence.within_ms`, `every_ms`, `samples`, `reset.after_ms`. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** One rule or monitor, and whether and how it holds on this agent. */
export interface WatchStatus {
  readonly kind: 'rule' | 'monitor';
  readonly watch: WatchRef;
  readonly title: string;
  readonly holds: boolean;
  /** Why it holds or not, in words for people. */
  readonly why: string;
  /** With what overrides make of them. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of `settings`, and `enabled` and `severity`: those that come from an override. */
  readonly overridden: readonly string[];
}

/** JSON. Bounded: docs/limits.md. */
export type EngineState = Readonly<Record<string, unknown>>;

/** What became of the state since it was last asked: entries to set, entries to forget. */
export interface EngineStateChange {
  readonly set: EngineState;
  readonly removed: readonly string[];
}

export interface Engine {
  /** Matches it against rules and event monitors. What an expression makes of it never throws: it counts as no match (`health`). */
  event(event: NodeEvent, nowUnixMs: number): readonly Outcome[];
  /** Judges what a probe of `plans()` found. An unknown monitor changes nothing: its pack may have gone meanwhile. */
  sample(pack: string, monitor: string, result: ProbeResult, nowUnixMs: number): readonly Outcome[];
  /** Does what is due: absences, timers, and at the first call what a new set of watches means for the states that were known. */
  tick(nowUnixMs: number): readonly Outcome[];
  /** When `tick` has something to do; undefined: nothing. In the past: now. */
  dueAtUnixMs(): number | undefined;
  /** A person says that it is healthy again. @param instance '' for all of them */
  reset(pack: string, monitor: string, instance: string, nowUnixMs: number): readonly Outcome[];
  plans(): readonly ProbePlan[];
  health(): readonly WatchHealth[];
  /** All of it. An engine that is made with it goes on exactly as this one would. */
  state(): EngineState;
  /** What changed since this was last called (or the engine made): small, for writing beside the events that caused it. */
  changes(): EngineStateChange;
}

/** Of a diagnostic's run, for `recoveryHolds`. */
export interface DiagnosticEnd {
  /** As of a dispatch: succeeded, failed, timed_out, … */
  readonly state: string;
  readonly exitCode: number | undefined;
  readonly output: string;
}
