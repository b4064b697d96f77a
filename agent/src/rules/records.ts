import { createHash } from 'node:crypto';
import type { EventLevel, NodeEvent, Severity } from '@openline/packs';
import type {
  AlertContent,
  Answer,
  Detection,
  MonitorState,
  RecoveryAnswer,
  StateChange,
  WatchRef,
} from '@openline/packs/engine';
import {
  AlertSeverity,
  EventRecord,
  HealthState,
  type AlertContent as ProtoAlert,
  type TaskAnswer as ProtoAnswer,
  type Event as ProtoEvent,
  EventLevel as ProtoLevel,
  type RecoveryAnswer as ProtoRecovery,
  type WatchRef as ProtoWatch,
} from '@openline/proto/agent';
import {
  MAX_ALERT_DESCRIPTION_CHARS,
  MAX_ALERT_KEY_CHARS,
  MAX_ALERT_TITLE_CHARS,
  MAX_EVENT_DATA_CHARS,
  MAX_EVENT_MESSAGE_CHARS,
  MAX_EVENTS_BEHIND,
  MAX_LABEL_CHARS,
} from '@openline/proto/limits';
import type { NewRecord } from '../spool/event-spool.ts';

/** What the engine concluded, as records of the link: in its words, and no larger than a record may be. docs/limits.md lists the bounds. */

/** Of one record: several fit into a message of the link. */
const MAX_RECORD_BYTES = 64 * 1024;
const MAX_REASON_CHARS = 1_000;
const KEY_HASH_CHARS = 16;

const LEVELS: Readonly<Record<EventLevel, ProtoLevel>> = {
  debug: ProtoLevel.EVENT_LEVEL_DEBUG,
  info: ProtoLevel.EVENT_LEVEL_INFO,
  warning: ProtoLevel.EVENT_LEVEL_WARNING,
  error: ProtoLevel.EVENT_LEVEL_ERROR,
  critical: ProtoLevel.EVENT_LEVEL_CRITICAL,
};
const SEVERITIES: Readonly<Record<Severity, AlertSeverity>> = {
  information: AlertSeverity.ALERT_SEVERITY_INFORMATION,
  warning: AlertSeverity.ALERT_SEVERITY_WARNING,
  critical: AlertSeverity.ALERT_SEVERITY_CRITICAL,
};
const STATES: Readonly<Record<MonitorState | 'not_monitored', HealthState>> = {
  not_monitored: HealthState.HEALTH_STATE_UNSPECIFIED,
  healthy: HealthState.HEALTH_STATE_HEALTHY,
  warning: HealthState.HEALTH_STATE_WARNING,
  critical: HealthState.HEALTH_STATE_CRITICAL,
  unknown: HealthState.HEALTH_STATE_UNKNOWN,
};

/** The newest of those that came with the same key, and what all of them together are. */
export interface Fired {
  readonly newest: Detection;
  readonly count: number;
  readonly eventCount: number;
  readonly events: readonly NodeEvent[];
}

export function detectionRecord({ newest, count, eventCount, events }: Fired): NewRecord {
  const { rule, alert, run } = newest;
  const value = {
    rule: watchOf(rule),
    count,
    events: events.slice(-MAX_EVENTS_BEHIND).map(eventOf),
    eventCount: BigInt(eventCount),
    ...(alert === undefined ? {} : { alert: alertOf(alert) }),
    ...(run === undefined ? {} : { run: answerOf(run) }),
  };
  return bounded({ atUnixMs: unixMs(newest.atUnixMs), kind: { $case: 'detection', value } });
}

export function stateRecord(change: StateChange): NewRecord {
  const { monitor, instance, from, to, reason, sample, events, alert, diagnostic, recoveries } = change;
  const value = {
    monitor: watchOf(monitor),
    instance: keyOf(instance),
    from: STATES[from],
    to: STATES[to],
    reason: cut(reason, MAX_REASON_CHARS),
    sampleJson: jsonOf(sample, MAX_EVENT_DATA_CHARS),
    events: events.slice(-MAX_EVENTS_BEHIND).map(eventOf),
    ...(alert === undefined ? {} : { alert: alertOf(alert) }),
    ...(diagnostic === undefined ? {} : { diagnostic: answerOf(diagnostic) }),
    recoveries: recoveries.map(recoveryOf),
  };
  return bounded({ atUnixMs: unixMs(change.atUnixMs), kind: { $case: 'stateChange', value } });
}

export interface GapSpan {
  readonly log: string;
  readonly reason: string;
  /** 0: some, and nobody can know how many. */
  readonly events: number;
  readonly fromUnixMs: number;
  readonly toUnixMs: number;
}

export function gapRecord({ log, reason, events, fromUnixMs, toUnixMs }: GapSpan): NewRecord {
  const value = {
    log: cut(log, MAX_LABEL_CHARS),
    reason: cut(reason, MAX_REASON_CHARS),
    events: BigInt(events),
    fromUnixMs: unixMs(fromUnixMs),
    toUnixMs: unixMs(toUnixMs),
  };
  return { atUnixMs: unixMs(toUnixMs), kind: { $case: 'gap', value } };
}

export interface CountedMetric {
  readonly pack: string;
  readonly metric: string;
  readonly count: number;
}

export function metricsRecord(counted: readonly CountedMetric[], atUnixMs: number): NewRecord {
  const counts = counted.map(({ pack, metric, count }) => ({ packName: pack, metric, count: BigInt(count) }));
  return { atUnixMs: unixMs(atUnixMs), kind: { $case: 'metricCounts', value: { counts } } };
}

function watchOf({ pack, version, name }: WatchRef): ProtoWatch {
  return { packName: pack, packVersion: version, name };
}

function eventOf({ log, source, id, level, atUnixMs, message, data }: NodeEvent): ProtoEvent {
  return {
    log: cut(log, MAX_LABEL_CHARS),
    source: cut(source, MAX_LABEL_CHARS),
    id: cut(id, MAX_LABEL_CHARS),
    level: LEVELS[level],
    atUnixMs: unixMs(atUnixMs),
    message: cut(message, MAX_EVENT_MESSAGE_CHARS),
    dataJson: jsonOf(data, MAX_EVENT_DATA_CHARS),
  };
}

function alertOf({ severity, title, description, key }: AlertContent): ProtoAlert {
  return {
    severity: SEVERITIES[severity],
    title: cut(title, MAX_ALERT_TITLE_CHARS),
    description: cut(description, MAX_ALERT_DESCRIPTION_CHARS),
    key: keyOf(key),
  };
}

function answerOf({ pack, task, parameters, cooldownMs }: Answer): ProtoAnswer {
  return {
    packName: pack,
    taskName: task,
    parametersJson: JSON.stringify(parameters),
    cooldownMs: BigInt(Math.max(0, Math.round(cooldownMs))),
  };
}

function recoveryOf(recovery: RecoveryAnswer): ProtoRecovery {
  return { run: answerOf(recovery), when: recovery.when, most: recovery.most };
}

/** What is too long is told apart by a hash of the whole. */
export function keyOf(key: string): string {
  if (key.length <= MAX_ALERT_KEY_CHARS) return key.toWellFormed();
  const hash = createHash('sha256').update(key).digest('hex').slice(0, KEY_HASH_CHARS);
  return `${key.slice(0, MAX_ALERT_KEY_CHARS - KEY_HASH_CHARS - 1).toWellFormed()}#${hash}`;
}

/** At most so many characters, and nothing that is no text. */
function cut(text: string, most: number): string {
  const whole = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return whole.toWellFormed();
}

/** Empty for nothing. Of what is too large only the entries that fit. */
function jsonOf(value: unknown, most: number): string {
  if (value === undefined || value === null) return '';
  const json = JSON.stringify(value);
  if (json === undefined || json === '{}') return '';
  if (json.length <= most) return json.toWellFormed();
  const kept: Record<string, unknown> = { truncated: true };
  let left = most - 20;
  for (const [key, entry] of Object.entries(value)) {
    const size = (JSON.stringify(entry)?.length ?? 0) + key.length + 4;
    if (size > left) continue;
    left -= size;
    kept[key] = entry;
  }
  return JSON.stringify(kept).toWellFormed();
}

/** What comes from outside may be anything; the wire takes whole numbers of 64 bits. */
function unixMs(value: number): bigint {
  return Number.isSafeInteger(Math.round(value)) ? BigInt(Math.round(value)) : 0n;
}

/** UTF-8 takes at most three bytes for each UTF-16 unit, and the rest of an event fewer than 64. */
function mayBeLarge({ kind }: NewRecord): boolean {
  if (kind?.$case !== 'detection' && kind?.$case !== 'stateChange') return false;
  const { events, alert } = kind.value;
  let chars = (alert?.title.length ?? 0) + (alert?.description.length ?? 0) + (alert?.key.length ?? 0);
  for (const { message, dataJson, log, source, id } of events) {
    chars += 64 + message.length + dataJson.length + log.length + source.length + id.length;
  }
  if (kind.$case === 'detection') chars += kind.value.run?.parametersJson.length ?? 0;
  else if (kind.value.diagnostic !== undefined || kind.value.recoveries.length > 0) return true;
  else chars += kind.value.sampleJson.length + kind.value.reason.length;
  return 3 * chars + 2_048 > MAX_RECORD_BYTES;
}

/** The oldest events go until it fits; of a record that is too large by itself the parts that nobody must have. */
function bounded(record: NewRecord): NewRecord {
  const { kind } = record;
  if ((kind?.$case !== 'detection' && kind?.$case !== 'stateChange') || !mayBeLarge(record)) return record;
  while (sizeOf(record) > MAX_RECORD_BYTES && kind.value.events.length > 0) kind.value.events.shift();
  if (sizeOf(record) <= MAX_RECORD_BYTES) return record;
  if (kind.$case === 'stateChange')
    Object.assign(kind.value, { sampleJson: '', diagnostic: undefined, recoveries: [] });
  else kind.value.run = undefined;
  return record;
}

function sizeOf(record: NewRecord): number {
  return EventRecord.encode({ ...record, seq: 0n }).finish().length;
}
