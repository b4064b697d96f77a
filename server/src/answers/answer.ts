import type { RecoveryAnswer, TaskAnswer } from '../events/event.ts';

/** A task that the server runs on an agent because of what happened there: it was asked to by a rule, or a monitor. */

export type AnswerKind = 'rule' | 'diagnostic' | 'recovery';

/** What a recovery is chosen from, and by. */
export interface Choice {
  readonly recoveries: readonly RecoveryAnswer[];
  /** The sample of the state change; empty: it came of events. */
  readonly sampleJson: string;
  /** How the diagnostic ended; undefined: the monitor has none. */
  readonly diagnostic: DiagnosticOutcome | undefined;
}

export interface DiagnosticOutcome {
  /** As of a dispatch: succeeded, failed, timed_out, … */
  readonly state: string;
  readonly exitCode: number | undefined;
  /** The first 64 KiB. */
  readonly output: string;
}

export interface NewAnswer {
  readonly id: string;
  readonly kind: AnswerKind;
  readonly agentId: string;
  /** "pack/rule" or "pack/monitor" */
  readonly watch: string;
  readonly instance: string;
  /** Of ill health; empty for rules. */
  readonly spell: string;
  readonly alertId: string | undefined;
  /** Undefined while it is to be chosen. */
  readonly run: TaskAnswer | undefined;
  /** Of a diagnostic: what comes after it. Of a recovery: what it is chosen by. */
  readonly choice: Choice | undefined;
}
