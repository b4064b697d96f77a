import { recoveryHolds } from '@openline/packs/engine';
import type { MonitorRecord, RecoveryAnswer, TaskAnswer } from '../events/event.ts';

/**
 * A task that the server runs on an agent because of what happened there: a rule, or a monitor, asks for it. Pure.
 *
 *     choosing ──▶ starting ──▶ running ──▶ ended        `choosing`: which recovery it is depends on how the diagnostic ended
 *        │  due ──────┘│                                 `starting`: that it runs is decided and recorded; its run may exist, by its key
 *        └──▶ skipped ◀┘                                 an ended diagnostic with recoveries makes an answer that is `choosing`
 *
 * It never loops: a recovery runs so often for one spell of ill health, and nothing again within its cool-down.
 */

export type AnswerKind = 'rule' | 'diagnostic' | 'recovery';
export type AnswerState = 'choosing' | 'due' | 'starting' | 'running' | 'ended' | 'skipped';

export interface DiagnosticOutcome {
  /** As of a dispatch: succeeded, failed, timed_out, … */
  readonly state: string;
  readonly exitCode: number | undefined;
  /** The beginning of it. */
  readonly output: string;
}

/** What a recovery is chosen from, and by. */
export interface Choice {
  readonly recoveries: readonly RecoveryAnswer[];
  /** The sample of the state change; empty: it came of events. */
  readonly sampleJson: string;
  /** How the diagnostic ended; absent: the monitor has none. */
  readonly diagnostic?: DiagnosticOutcome | undefined;
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

export interface StoredAnswer extends NewAnswer {
  readonly state: AnswerState;
  readonly runId: string | undefined;
  readonly createdAt: Date;
}

/** What an answer's start depends on. */
export interface Facts {
  readonly now: Date;
  /** Of its watch and instance; undefined for rules, and when it is not monitored any more. */
  readonly monitor: Pick<MonitorRecord, 'state' | 'spell'> | undefined;
  /** When tasks were last started as answers of this kind to the same watch and instance. */
  readonly lastStarts: ReadonlyMap<string, Date>;
  /** And how often in this spell. */
  readonly startsOfSpell: ReadonlyMap<string, number>;
}

export type Verdict =
  | { readonly kind: 'start'; readonly run: TaskAnswer }
  | { readonly kind: 'skip'; readonly why: string };

/** What could not be started for so long is not started any more: the machine is another one by now. */
const START_WITHIN_MS = 15 * 60_000;

/** Whether an answer that is `choosing` or `due` starts, and which task. */
export function judge(answer: StoredAnswer, facts: Facts): Verdict {
  if (facts.now.getTime() - answer.createdAt.getTime() > START_WITHIN_MS) {
    return skip('it could not be started in time');
  }
  if (answer.kind === 'rule')
    return answer.run === undefined ? skip('it names no task') : { kind: 'start', run: answer.run };
  if (facts.monitor === undefined || facts.monitor.state === 'healthy' || facts.monitor.spell !== answer.spell) {
    return skip('the monitor is healthy again');
  }
  if (answer.run !== undefined) return unlessCooling(answer.run, facts);
  const chosen = choose(answer.choice);
  if (chosen === undefined) return skip('no recovery is for this case');
  const runs = facts.startsOfSpell.get(chosen.task) ?? 0;
  if (runs >= chosen.most) {
    return skip(`${chosen.task} was run ${times(runs)} since it is ill, which is the most that the pack allows`);
  }
  return unlessCooling(chosen, facts);
}

/** The first recovery whose condition holds. */
function choose(choice: Choice | undefined): RecoveryAnswer | undefined {
  if (choice === undefined) return undefined;
  const sample: unknown = choice.sampleJson === '' ? undefined : JSON.parse(choice.sampleJson);
  const diagnostic = choice.diagnostic && { ...choice.diagnostic, exitCode: choice.diagnostic.exitCode };
  return choice.recoveries.find(({ when }) => recoveryHolds(when, diagnostic, sample));
}

function unlessCooling(run: TaskAnswer, { now, lastStarts }: Facts): Verdict {
  const last = lastStarts.get(run.task);
  const agoMs = last === undefined ? Number.POSITIVE_INFINITY : now.getTime() - last.getTime();
  if (agoMs >= run.cooldownMs) return { kind: 'start', run };
  return skip(`${run.task} was run ${seconds(agoMs)} ago, and its cool-down is ${seconds(run.cooldownMs)}`);
}

/** What comes after an answer that has ended; undefined: nothing. */
export function following(answer: StoredAnswer, diagnostic: DiagnosticOutcome, id: string): NewAnswer | undefined {
  const { kind, agentId, watch, instance, spell, alertId, choice } = answer;
  if (kind !== 'diagnostic' || choice === undefined) return undefined;
  return {
    id,
    kind: 'recovery',
    agentId,
    watch,
    instance,
    spell,
    alertId,
    run: undefined,
    choice: { ...choice, diagnostic },
  };
}

/** Who asks for the run: "rule:pack/name" or "monitor:pack/name". */
export function principalOf({ kind, watch }: Pick<NewAnswer, 'kind' | 'watch'>): string {
  return `${kind === 'rule' ? 'rule' : 'monitor'}:${watch}`;
}

/** In the history of the alert: "the diagnostic". */
export function nameOf({ kind }: Pick<NewAnswer, 'kind'>): string {
  return kind === 'rule' ? 'response' : kind;
}

function skip(why: string): Verdict {
  return { kind: 'skip', why };
}

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s`;
const times = (n: number): string => (n === 1 ? 'once' : `${n} times`);
