import type { NodeEvent } from '@openline/packs';
import type { AlertAction } from '../alerts/alerts.ts';
import type { NewAnswer } from '../answers/answer.ts';
import type { Detection, EventBatch, MonitorRecord, ObservedRecord, StateChange } from './event.ts';
import { observe } from './monitor.ts';

/** What is to be written for records that were not seen before. Pure, but for the names that `newId` makes. */
export interface Plan {
  readonly actions: AlertAction[];
  readonly events: PlannedEvent[];
  /** By `monitorKey`; undefined: forget it. */
  readonly monitors: Map<string, MonitorRecord | undefined>;
  readonly answers: PlannedAnswer[];
}

export interface PlannedEvent {
  readonly agentId: string;
  readonly event: NodeEvent;
  /** Empty for a gap. */
  readonly watch: string;
  /** Index of the action whose alert it is behind. */
  readonly action: number | undefined;
  /** A gap of so many events; 0: nobody knows how many. */
  readonly lost: number | undefined;
}

export interface PlannedAnswer {
  readonly answer: Omit<NewAnswer, 'alertId'>;
  readonly action: number | undefined;
}

export interface PlanContext {
  readonly now: Date;
  newId(): string;
}

/** What happened longer ago is not answered any more: it is history, and the machine is another one by now. */
const ANSWER_WITHIN_MS = 15 * 60_000;

/** The part of a batch that is to be taken in. */
export type Slice = Pick<EventBatch, 'agentId' | 'clockBehindMs'> & { readonly records: readonly ObservedRecord[] };

/** @param monitors those that are known, by `monitorKey`; at least those that the records speak of */
export function plan(
  slices: readonly Slice[],
  monitors: ReadonlyMap<string, MonitorRecord>,
  { now, newId }: PlanContext,
): Plan {
  const made: Plan = { actions: [], events: [], monitors: new Map(), answers: [] };
  for (const { agentId, clockBehindMs, records } of slices) {
    for (const record of records) {
      const at = new Date(Math.min(now.getTime(), record.at.getTime() + (clockBehindMs ?? 0)));
      const inTime = now.getTime() - at.getTime() <= ANSWER_WITHIN_MS;
      switch (record.kind) {
        case 'detection':
          planDetection(made, agentId, record, inTime, newId);
          break;
        case 'state_change': {
          const key = monitorKey({ ...record, agentId });
          const known = made.monitors.has(key) ? made.monitors.get(key) : monitors.get(key);
          const observed = observe(known, record, { agentId, at, newSpell: newId });
          made.monitors.set(key, observed.record);
          const action = observed.action && made.actions.push(observed.action) - 1;
          const watch = `${record.pack}/${record.monitor}`;
          for (const event of record.events) made.events.push({ agentId, event, watch, action, lost: undefined });
          if (observed.record !== undefined && observed.worse && inTime) {
            planRecovery(made, observed.record, record, action, newId);
          }
          break;
        }
        case 'gap':
          made.events.push({
            agentId,
            event: gapEvent(record, record.at),
            watch: '',
            action: undefined,
            lost: record.events,
          });
          break;
        case 'metric_counts':
          break;
        default:
          record satisfies never;
      }
    }
  }
  return made;
}

function planDetection(made: Plan, agentId: string, record: Detection, inTime: boolean, newId: () => string): void {
  const { watch, count, events, alert, run } = record;
  let action: number | undefined;
  if (alert !== undefined) {
    const { severity, title, description, key } = alert;
    const subject = { kind: 'rule', agentId, watch, key } as const;
    made.actions.push({
      kind: 'raise',
      subject,
      severity,
      title,
      description,
      times: count,
      behind: events,
      by: watch,
    });
    action = made.actions.length - 1;
  }
  for (const event of events) made.events.push({ agentId, event, watch, action, lost: undefined });
  if (run !== undefined && inTime) {
    made.answers.push({
      action,
      answer: { id: newId(), kind: 'rule', agentId, watch, instance: '', spell: '', run, choice: undefined },
    });
  }
}

function planRecovery(
  made: Plan,
  { agentId, instance, spell }: MonitorRecord,
  { pack, monitor, diagnostic, recoveries, sampleJson }: StateChange,
  action: number | undefined,
  newId: () => string,
): void {
  if (diagnostic === undefined && recoveries.length === 0) return;
  const about = { id: newId(), agentId, watch: `${pack}/${monitor}`, instance, spell };
  const choice = recoveries.length === 0 ? undefined : { recoveries, sampleJson, diagnostic: undefined };
  const answer =
    diagnostic === undefined
      ? { ...about, kind: 'recovery' as const, run: undefined, choice }
      : { ...about, kind: 'diagnostic' as const, run: diagnostic, choice };
  made.answers.push({ action, answer });
}

function gapEvent({ log, reason, events }: { log: string; reason: string; events: number }, at: Date): NodeEvent {
  return {
    log,
    source: 'openline',
    id: 'gap',
    level: 'warning',
    atUnixMs: at.getTime(),
    message: `${events === 0 ? 'an unknown number of' : events} events are missing: ${reason}`,
    data: {},
  };
}

export function monitorKey(of: Pick<MonitorRecord, 'agentId' | 'pack' | 'monitor' | 'instance'>): string {
  return [of.agentId, of.pack, of.monitor, of.instance].join('\0');
}
