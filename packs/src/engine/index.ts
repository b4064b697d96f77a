import type { NodeEvent, Severity } from '../monitoring.ts';
import type { Pack } from '../pack.ts';
import type { Outcome, ProbePlan, ProbeResult, WatchHealth, WatchRef } from './outcome.ts';

export type * from './outcome.ts';

/**
 * What packs watch for, applied to what an agent sees. Deterministic: no I/O, no clock, no chance; time is unix milliseconds, given by the
 * caller, and may jump either way.
 */

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

/** What holds here, ready to run. Opaque but for these. */
export interface Watches {
  readonly statuses: readonly WatchStatus[];
  /** Logs that some rule or monitor wants events of: nobody need read the others. A `*` in a name stands for any text. */
  readonly logs: readonly string[];
  /** Overrides that were left out, wholly or in part, and why. */
  readonly problems: readonly string[];
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

/** What holds on this agent. Expressions were checked when the packs were parsed; overrides are checked here. */
export function compileWatches(_packs: readonly Pack[], _about: About, _overrides: readonly WatchOverride[]): Watches {
  throw new Error('not yet');
}

/** @param saved `state()` of an engine before, or its changes put together; what no longer fits the watches is forgotten */
export function createEngine(_watches: Watches, _saved?: EngineState): Engine {
  throw new Error('not yet');
}

/** Puts a change on top of a state, as a spool does that keeps the changes. */
export function applyChange(state: EngineState, change: EngineStateChange): EngineState {
  const next: Record<string, unknown> = { ...state, ...change.set };
  for (const key of change.removed) delete next[key];
  return next;
}

/** What a probe's process said, as a sample. @param output how the pack says it is to be read */
export function sampleOfProcess(
  _output: 'json' | 'text',
  _ended: { readonly exitCode: number | undefined; readonly stdout: string; readonly stderr: string },
): ProbeResult {
  throw new Error('not yet');
}

/** Of a diagnostic's run, for `recoveryHolds`. */
export interface DiagnosticEnd {
  /** As of a dispatch: succeeded, failed, timed_out, … */
  readonly state: string;
  readonly exitCode: number | undefined;
  readonly output: string;
}

/** Whether a recovery is the one to run: its `when`, over the diagnostic's end and the sample of the state change. An error is no. */
export function recoveryHolds(_when: string, _diagnostic: DiagnosticEnd | undefined, _sample: unknown): boolean {
  throw new Error('not yet');
}

/** What of an override makes no sense for the pack's rule or monitor; empty when all does. For people. */
export function overrideProblems(_pack: Pack, _override: WatchOverride): readonly string[] {
  throw new Error('not yet');
}
