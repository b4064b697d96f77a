import type { HealthState, NodeEvent, Severity } from '@openline/packs';

/** What an agent says that it observed and concluded: parsed and bounded (sessions/event-intake.ts), as this domain knows it. */

/** A part of an agent's event spool. */
export interface EventBatch {
  readonly agentId: string;
  /** Of the session that it came over. */
  readonly epoch: number;
  readonly spoolId: string;
  /** Rising numbers. What is of a kind that this server does not know is left out. */
  readonly records: readonly ObservedRecord[];
  /** Of the first and the last record, those left out included. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** The last record that was sent before it, or acknowledged. */
  readonly afterSeq: number;
  /** About how many bytes it takes here. */
  readonly weight: number;
  /** When it arrived, by this process's clock. */
  readonly arrivedMs: number;
  /** How much the agent's clock is behind this server's, milliseconds; undefined: the agent does not say. */
  readonly clockBehindMs: number | undefined;
}

interface Numbered {
  /** Its place in the spool. */
  readonly seq: number;
  /** By the agent's clock. */
  readonly at: Date;
}

export type ObservedRecord = Numbered & (Detection | StateChange | Gap | MetricCounts);
export type RecordKind = ObservedRecord['kind'];
export const RECORD_KINDS = [
  'detection',
  'state_change',
  'gap',
  'metric_counts',
] as const satisfies readonly RecordKind[];

/** As the pack words it for this agent. */
export interface AlertContent {
  readonly severity: Severity;
  readonly title: string;
  readonly description: string;
  readonly key: string;
}

/** A task that is to be run on the agent in answer. */
export interface TaskAnswer {
  /** "pack/task" */
  readonly task: string;
  /** A JSON object. */
  readonly parametersJson: string;
  readonly cooldownMs: number;
}

export interface RecoveryAnswer extends TaskAnswer {
  /** CEL over `diagnostic` and `sample`; empty: always. */
  readonly when: string;
  readonly most: number;
}

/** A rule fired. */
export interface Detection {
  readonly kind: 'detection';
  /** "pack/rule" */
  readonly watch: string;
  readonly count: number;
  /** The newest last. */
  readonly events: readonly NodeEvent[];
  readonly alert: AlertContent | undefined;
  readonly run: TaskAnswer | undefined;
}

export type MonitorState = HealthState | 'unknown';

export interface StateChange {
  readonly kind: 'state_change';
  readonly pack: string;
  readonly monitor: string;
  readonly instance: string;
  /** `undefined`: it is not monitored any more. */
  readonly to: MonitorState | undefined;
  readonly reason: string;
  /** JSON; empty: none. */
  readonly sampleJson: string;
  readonly events: readonly NodeEvent[];
  /** While it is as bad as the pack says that an alert is due. */
  readonly alert: AlertContent | undefined;
  /** When it got worse. */
  readonly diagnostic: TaskAnswer | undefined;
  readonly recoveries: readonly RecoveryAnswer[];
}

/** Events that nobody looked at, or records that were dropped. */
export interface Gap {
  readonly kind: 'gap';
  readonly log: string;
  readonly reason: string;
  /** 0: some, and nobody knows how many. */
  readonly events: number;
}

export interface MetricCounts {
  readonly kind: 'metric_counts';
  readonly counts: readonly { readonly pack: string; readonly metric: string; readonly count: number }[];
}

/** What the server knows of one monitor on one agent. */
export interface MonitorRecord {
  readonly agentId: string;
  readonly pack: string;
  readonly monitor: string;
  readonly instance: string;
  readonly state: MonitorState;
  readonly since: Date;
  readonly reason: string;
  readonly sampleJson: string;
  /** Names one spell of ill health, from its beginning until it is healthy again; empty while it is. */
  readonly spell: string;
  /** The state in which a person closed its alert: none is raised until it was healthy, or got worse. */
  readonly hushed: 'warning' | 'critical' | undefined;
}

const MONITOR_STATES = ['healthy', 'warning', 'critical', 'unknown'] as const satisfies readonly MonitorState[];

/** How states of monitors stand in tables: 1 healthy, 2 warning, 3 critical, 4 unknown. */
export const monitorStateNumber = (state: MonitorState): number => MONITOR_STATES.indexOf(state) + 1;

export function monitorStateOf(number: number): MonitorState {
  const state = MONITOR_STATES[number - 1];
  if (state === undefined) throw new Error(`no state of a monitor has the number ${number}`);
  return state;
}
