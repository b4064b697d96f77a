import type { HealthState, NodeEvent, Probe, Severity } from '../monitoring.ts';

/** A rule or a monitor of a pack. Names are unique over both within a pack. */
export interface WatchRef {
  readonly pack: string;
  readonly version: string;
  readonly name: string;
}

/** What the engine made of what it was told. In the order in which it came about. */
export type Outcome = Detection | StateChange | MetricCount;

/**
 * A rule fired once. `alert` and `run` are worked out when they are first read, so that of many with the same key the caller pays only for the
 * one that it sends; they do not change afterwards.
 */
export interface Detection {
  readonly kind: 'detection';
  readonly rule: WatchRef;
  /** Of the alert; '' when the rule has no key or raises none. What has the same rule and key may travel as one, counted. */
  readonly key: string;
  readonly atUnixMs: number;
  /** The newest few of those behind it, the newest last. */
  readonly events: readonly NodeEvent[];
  /** All of those behind it. */
  readonly eventCount: number;
  readonly alert: AlertContent | undefined;
  readonly run: Answer | undefined;
}

export type MonitorState = HealthState | 'unknown';

export interface StateChange {
  readonly kind: 'state';
  readonly monitor: WatchRef;
  /** Empty where the machine has one. */
  readonly instance: string;
  readonly atUnixMs: number;
  /** `not_monitored`: the first that is known of it, or (to) that it is gone. */
  readonly from: MonitorState | 'not_monitored';
  readonly to: MonitorState | 'not_monitored';
  /** For people, one line. */
  readonly reason: string;
  /** What it was judged by; absent when that was no sample. */
  readonly sample: unknown;
  readonly events: readonly NodeEvent[];
  /** While it is as bad as the pack says that an alert is due. Its key is the instance. */
  readonly alert: AlertContent | undefined;
  /** When it got worse, and the pack names one. */
  readonly diagnostic: Answer | undefined;
  readonly recoveries: readonly RecoveryAnswer[];
}

export interface MetricCount {
  readonly kind: 'metric';
  readonly pack: string;
  readonly metric: string;
  readonly count: number;
}

/** Templates filled in, overrides applied. */
export interface AlertContent {
  readonly severity: Severity;
  readonly title: string;
  readonly description: string;
  readonly key: string;
}

export interface Answer {
  /** Never absent: the rule's own pack where it names none. */
  readonly pack: string;
  readonly task: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly cooldownMs: number;
}

export interface RecoveryAnswer extends Answer {
  /** CEL over `diagnostic` and `sample`: `recoveryHolds` says whether it holds. Empty: always. The first that holds is run. */
  readonly when: string;
  readonly most: number;
}

/** What a probe found, or why it found nothing: then the monitor's state is unknown. */
export type ProbeResult =
  | { readonly ok: true; readonly sample: unknown }
  | { readonly ok: false; readonly error: string };

/** A probe that is due every so often. A start that comes while the last one runs is left out. */
export interface ProbePlan {
  readonly monitor: WatchRef;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Templates filled in. */
  readonly probe: Probe;
  /** A process of the probe gets them as a task gets its parameters: `buildArgv`, `parameterEnvironment`. */
  readonly settings: Readonly<Record<string, number | string | boolean>>;
}

/** How a watch fares: what could not be worked out, and what was given up to keep the state bounded. */
export interface WatchHealth {
  readonly watch: WatchRef;
  /** Expressions that failed on an event or a sample; each counted as no match. */
  readonly errors: number;
  readonly lastError: string;
  /** Windows, pending absences or instances that were forgotten because there were too many. */
  readonly evicted: number;
}
