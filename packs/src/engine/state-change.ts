import type { Context } from '../cel/evaluate.ts';
import type { NodeEvent } from '../monitoring.ts';
import type { CompiledMonitor } from './compiled.ts';
import { isWorse, shownState } from './health.ts';
import type { RecoveryAnswer, StateChange } from './outcome.ts';
import type { Instance } from './remembered.ts';
import type { Trouble } from './trouble.ts';

const MAX_REASON_CHARS = 300;

/** What made an instance change, and what expressions may know of it. */
export interface ChangeCause {
  readonly reason: string;
  /** Of the sample, or of the event; absent when neither was there (a timer, a person). */
  readonly contextOf?: (instance: string, state: string) => Context;
  readonly sample?: unknown;
  readonly events?: readonly NodeEvent[];
}

/** @param before, after undefined: not monitored. @returns undefined when nobody would see a difference */
export function stateChange(
  monitor: CompiledMonitor,
  trouble: Trouble,
  instance: string,
  before: Instance | undefined,
  after: Instance | undefined,
  atUnixMs: number,
  cause: ChangeCause,
): StateChange | undefined {
  const from = before === undefined ? 'not_monitored' : shownState(before);
  const to = after === undefined ? 'not_monitored' : shownState(after);
  if (from === to) return undefined;
  const context = cause.contextOf?.(instance, to) ?? {
    settings: monitor.settings,
    agent: monitor.agent,
    instance,
    state: to,
  };
  const gotWorse = after !== undefined && !after.unknown && isWorse(after.state, before?.state ?? 'healthy');
  return {
    kind: 'state',
    monitor: monitor.ref,
    instance,
    atUnixMs,
    from,
    to,
    reason: cause.reason.replace(/\s+/g, ' ').slice(0, MAX_REASON_CHARS),
    sample: cause.sample,
    events: cause.events ?? [],
    alert: alertOf(monitor, trouble, instance, to, context),
    diagnostic: gotWorse ? monitor.diagnostic?.(context, trouble.failed) : undefined,
    recoveries: gotWorse ? recoveriesOf(monitor, trouble, after, context) : [],
  };
}

function alertOf(
  { alert }: CompiledMonitor,
  trouble: Trouble,
  instance: string,
  state: StateChange['to'],
  context: Context,
): StateChange['alert'] {
  if (alert === undefined || (state !== 'warning' && state !== 'critical') || isWorse(alert.from, state))
    return undefined;
  return alert.texts(context, instance, alert.severity ?? state, trouble.failed);
}

function recoveriesOf(
  monitor: CompiledMonitor,
  trouble: Trouble,
  { state }: Instance,
  context: Context,
): RecoveryAnswer[] {
  return monitor.recoveries.flatMap(({ on, when, most, run }) => {
    const answer = on === state ? run(context, trouble.failed) : undefined;
    return answer === undefined ? [] : [{ ...answer, when, most }];
  });
}
