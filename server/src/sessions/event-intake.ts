import { createHash } from 'node:crypto';
import type { NodeEvent, Severity } from '@openline/packs';
import * as proto from '@openline/proto/agent';
import {
  MAX_ALERT_DESCRIPTION_CHARS,
  MAX_ALERT_KEY_CHARS,
  MAX_ALERT_TITLE_CHARS,
  MAX_EVENT_DATA_CHARS,
  MAX_EVENT_MESSAGE_CHARS,
  MAX_EVENT_RECORDS,
  MAX_EVENTS_BEHIND,
} from '@openline/proto/limits';
import type {
  AlertContent,
  EventBatch,
  MonitorState,
  ObservedRecord,
  RecoveryAnswer,
  TaskAnswer,
} from '../events/event.ts';
import { count, dateOf, text } from './intake.ts';

/**
 * Turns an EventBatch into what the domain knows: parsed once, here; bounded, because an agent may be anybody's. What is too long is cut and
 * what makes no sense is left out. Only a broken sequence breaks the protocol: the records of a spool come again and again until they are
 * taken in, so refusing one for its content would stop all that follow it.
 */

const LEVELS = {
  [proto.EventLevel.EVENT_LEVEL_UNSPECIFIED]: 'info',
  [proto.EventLevel.EVENT_LEVEL_DEBUG]: 'debug',
  [proto.EventLevel.EVENT_LEVEL_INFO]: 'info',
  [proto.EventLevel.EVENT_LEVEL_WARNING]: 'warning',
  [proto.EventLevel.EVENT_LEVEL_ERROR]: 'error',
  [proto.EventLevel.EVENT_LEVEL_CRITICAL]: 'critical',
  [proto.EventLevel.UNRECOGNIZED]: 'info',
} as const satisfies Record<proto.EventLevel, NodeEvent['level']>;

const SEVERITY = {
  [proto.AlertSeverity.ALERT_SEVERITY_UNSPECIFIED]: 'warning',
  [proto.AlertSeverity.ALERT_SEVERITY_INFORMATION]: 'information',
  [proto.AlertSeverity.ALERT_SEVERITY_WARNING]: 'warning',
  [proto.AlertSeverity.ALERT_SEVERITY_CRITICAL]: 'critical',
  [proto.AlertSeverity.UNRECOGNIZED]: 'warning',
} as const satisfies Record<proto.AlertSeverity, Severity>;

const HEALTH = {
  [proto.HealthState.HEALTH_STATE_UNSPECIFIED]: undefined,
  [proto.HealthState.HEALTH_STATE_HEALTHY]: 'healthy',
  [proto.HealthState.HEALTH_STATE_WARNING]: 'warning',
  [proto.HealthState.HEALTH_STATE_CRITICAL]: 'critical',
  [proto.HealthState.HEALTH_STATE_UNKNOWN]: 'unknown',
  [proto.HealthState.UNRECOGNIZED]: 'unknown',
} as const satisfies Record<proto.HealthState, MonitorState | undefined>;

const MAX_NAME_CHARS = 64;
const MAX_SOURCE_CHARS = 256;
const MAX_REASON_CHARS = 1_000;
const MAX_PARAMETERS_CHARS = 65_536;
const MAX_WHEN_CHARS = 2_000;
const MAX_RECOVERIES = 10;
const MAX_METRICS = 1_000;
const MAX_JSON_DEPTH = 32;
const MAX_AHEAD_MS = 24 * 3600_000;
/** A task that answers is not run more often, whatever a pack says; and no answer is remembered for longer. */
const MIN_COOLDOWN_MS = 1_000;
const MAX_COOLDOWN_MS = 7 * 24 * 3600_000;
const MAX_MOST = 100;
/** What a record takes besides its text. */
const RECORD_BYTES = 300;

export interface Arrival {
  readonly agentId: string;
  readonly epoch: number;
  readonly now: Date;
  readonly nowMs: number;
}

/** @returns what is wrong with the message, when something is */
export function batchOf(
  { spoolId, records, afterSeq, sentUnixMs }: proto.EventBatch,
  arrival: Arrival,
): EventBatch | string {
  if (spoolId === '' || spoolId.length > MAX_NAME_CHARS || spoolId.includes('\0'))
    return 'events: not the id of a spool';
  if (records.length === 0 || records.length > MAX_EVENT_RECORDS) {
    return `events: a batch of ${records.length} records; 1 to ${MAX_EVENT_RECORDS} are allowed`;
  }
  let last = 0n;
  for (const { seq } of records) {
    if (seq <= last || seq > BigInt(Number.MAX_SAFE_INTEGER)) return 'events: the numbers of the records do not rise';
    last = seq;
  }
  const known = records.flatMap((record) => recordOf(record, arrival.now));
  return {
    agentId: arrival.agentId,
    epoch: arrival.epoch,
    spoolId,
    records: known,
    firstSeq: Number(records[0]?.seq),
    lastSeq: Number(last),
    afterSeq: afterSeq === undefined ? Number(records[0]?.seq) - 1 : count(afterSeq),
    weight: known.reduce((sum, record) => sum + weightOf(record), 0),
    arrivedMs: arrival.nowMs,
    clockBehindMs: clockBehind(dateOf(sentUnixMs ?? 0n), arrival.now),
  };
}

/** The way of the message is in it, which is short. */
function clockBehind(sentAt: Date | undefined, now: Date): number | undefined {
  return sentAt === undefined ? undefined : now.getTime() - sentAt.getTime();
}

function recordOf({ seq, atUnixMs, kind }: proto.EventRecord, now: Date): ObservedRecord[] {
  const base = { seq: Number(seq), at: timeOf(atUnixMs, now) };
  switch (kind?.$case) {
    case 'detection': {
      const { rule, count: times, events, alert, run } = kind.value;
      if (rule === undefined || !isName(rule.packName) || !isName(rule.name)) return [];
      return [
        {
          ...base,
          kind: 'detection',
          watch: `${rule.packName}/${rule.name}`,
          count: Math.max(1, times),
          events: eventsOf(events, base.at),
          alert: alert && alertOf(alert),
          run: run && answerOf(run),
        },
      ];
    }
    case 'stateChange': {
      const { monitor, instance, to, reason, sampleJson, events, alert, diagnostic, recoveries } = kind.value;
      if (monitor === undefined || !isName(monitor.packName) || !isName(monitor.name)) return [];
      return [
        {
          ...base,
          kind: 'state_change',
          pack: monitor.packName,
          monitor: monitor.name,
          instance: keyOf(instance),
          to: HEALTH[to],
          reason: text(reason, MAX_REASON_CHARS),
          sampleJson: sampleOf(sampleJson),
          events: eventsOf(events, base.at),
          alert: alert && alertOf(alert),
          diagnostic: diagnostic && answerOf(diagnostic),
          recoveries: recoveries.slice(0, MAX_RECOVERIES).flatMap(recoveryOf),
        },
      ];
    }
    case 'gap': {
      const { log, reason, events } = kind.value;
      return [
        {
          ...base,
          kind: 'gap',
          log: text(log, MAX_SOURCE_CHARS),
          reason: text(reason, MAX_REASON_CHARS),
          events: count(events),
        },
      ];
    }
    case 'metricCounts': {
      const counts = kind.value.counts.slice(0, MAX_METRICS).flatMap(({ packName, metric, count: by }) => {
        if (!isName(packName) || !isName(metric)) return [];
        return [{ pack: packName, metric, count: count(by) }];
      });
      return [{ ...base, kind: 'metric_counts', counts }];
    }
    case undefined:
      return [];
    default:
      return kind satisfies never;
  }
}

/** A clock that is far ahead would put its events before everybody else's, and keep them there. */
function timeOf(unixMs: bigint, otherwise: Date): Date {
  const at = dateOf(unixMs);
  return at === undefined || at.getTime() > otherwise.getTime() + MAX_AHEAD_MS ? otherwise : at;
}

function eventsOf(events: readonly proto.Event[], at: Date): NodeEvent[] {
  return events.slice(-MAX_EVENTS_BEHIND).map((event) => ({
    log: text(event.log, MAX_SOURCE_CHARS),
    source: text(event.source, MAX_SOURCE_CHARS),
    id: text(event.id, MAX_SOURCE_CHARS),
    level: LEVELS[event.level],
    atUnixMs: timeOf(event.atUnixMs, at).getTime(),
    message: text(event.message, MAX_EVENT_MESSAGE_CHARS),
    data: dataOf(event.dataJson),
  }));
}

function alertOf({ severity, title, description, key }: proto.AlertContent): AlertContent {
  return {
    severity: SEVERITY[severity],
    title: text(title, MAX_ALERT_TITLE_CHARS),
    description: text(description, MAX_ALERT_DESCRIPTION_CHARS),
    key: keyOf(key),
  };
}

function answerOf({ packName, taskName, parametersJson, cooldownMs }: proto.TaskAnswer): TaskAnswer | undefined {
  if (!isName(packName) || !isName(taskName)) return undefined;
  const given = parametersJson === '' ? '{}' : parametersJson;
  if (objectOf(given, MAX_PARAMETERS_CHARS) === undefined) return undefined;
  return {
    task: `${packName}/${taskName}`,
    parametersJson: given,
    cooldownMs: Math.min(MAX_COOLDOWN_MS, Math.max(MIN_COOLDOWN_MS, count(cooldownMs))),
  };
}

function recoveryOf({ run, when, most }: proto.RecoveryAnswer): RecoveryAnswer[] {
  const answer = run && answerOf(run);
  if (answer === undefined || when.length > MAX_WHEN_CHARS) return [];
  return [{ ...answer, when, most: Math.min(MAX_MOST, most) }];
}

/** As packs name themselves and what is in them. */
function isName(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && /^[\w.-]+$/.test(name);
}

/** A long key is cut, and stays apart from others that begin the same. */
function keyOf(key: string): string {
  if (key.length <= MAX_ALERT_KEY_CHARS) return text(key, MAX_ALERT_KEY_CHARS);
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return `${text(key, MAX_ALERT_KEY_CHARS - hash.length - 1)}~${hash}`;
}

const TOO_MUCH: NodeEvent['data'] = { note: 'the data of this event were too large, or not a JSON object' };

function dataOf(json: string): NodeEvent['data'] {
  if (json === '') return {};
  return objectOf(json, MAX_EVENT_DATA_CHARS) ?? TOO_MUCH;
}

function sampleOf(json: string): string {
  if (json === '') return '';
  return objectOf(json, MAX_EVENT_DATA_CHARS) === undefined ? '' : json;
}

function objectOf(json: string, maxChars: number): Record<string, unknown> | undefined {
  if (json.length > maxChars || !json.startsWith('{')) return undefined;
  try {
    const value: Record<string, unknown> = JSON.parse(json);
    return deeperThan(json, MAX_JSON_DEPTH) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Of JSON that is known to be sound: what is written out again, or walked, by recursion must not be deep. */
function deeperThan(json: string, limit: number): boolean {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json.charCodeAt(i);
    if (quoted) {
      if (char === 0x5c) i++;
      else if (char === 0x22) quoted = false;
    } else if (char === 0x22) quoted = true;
    else if (char === 0x7b || char === 0x5b) {
      if (++depth > limit) return true;
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
  return false;
}

function weightOf(record: ObservedRecord): number {
  let chars = RECORD_BYTES;
  if (record.kind === 'detection' || record.kind === 'state_change') {
    for (const { message } of record.events) chars += RECORD_BYTES + message.length;
    chars += record.alert?.description.length ?? 0;
  }
  return chars;
}
