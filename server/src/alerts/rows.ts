import { EVENT_LEVELS, type EventLevel, type NodeEvent, SEVERITIES, type Severity } from '@openline/packs';
import type { Selectable } from 'kysely';
import type { AlertsTable } from '../db/schema.ts';
import type { Alert, AlertChangeKind, AlertState } from './alert.ts';

/** How alerts and events stand in tables: small numbers, so that they have an order there. */

export type AlertRow = Selectable<AlertsTable>;

const STATES = ['new', 'acknowledged', 'closed'] as const satisfies readonly AlertState[];

export const severityNumber = (severity: Severity): number => SEVERITIES.indexOf(severity) + 1;
export const stateNumber = (state: AlertState): number => STATES.indexOf(state);
export const levelNumber = (level: EventLevel): number => EVENT_LEVELS.indexOf(level) + 1;

export function severityOf(number: number): Severity {
  return named(SEVERITIES[number - 1], 'severity', number);
}
export function alertStateOf(number: number): AlertState {
  return named(STATES[number], 'state of an alert', number);
}
export function levelOf(number: number): EventLevel {
  return named(EVENT_LEVELS[number - 1], 'level', number);
}

function named<T>(name: T | undefined, what: string, number: number): T {
  if (name === undefined) throw new Error(`no ${what} has the number ${number}`);
  return name;
}

export function toAlert(row: AlertRow): Alert {
  return {
    id: String(row.id),
    subject: { kind: row.kind, agentId: row.agent_id, watch: row.watch, key: row.key },
    agentName: row.agent_name,
    labels: row.labels,
    severity: severityOf(row.severity),
    title: row.title,
    description: row.description,
    state: alertStateOf(row.state),
    owner: row.owner,
    count: row.count,
    firstAt: row.first_at,
    lastAt: row.last_at,
    closedAt: row.closed_at ?? undefined,
    maintenanceId: row.maintenance_id,
  };
}

const CHANGE_KINDS: ReadonlySet<string> = new Set<AlertChangeKind>([
  'raised',
  'repeated',
  'severity',
  'acknowledged',
  'assigned',
  'commented',
  'answered',
  'surfaced',
  'closed',
]);

export function changeKindOf(text: string): AlertChangeKind {
  if (CHANGE_KINDS.has(text)) return text as AlertChangeKind;
  throw new Error(`no change of an alert is called ${text}`);
}

/** The columns that tables of events share. */
export interface EventRow {
  log: string;
  source: string;
  event_id: string;
  level: number;
  at: Date;
  message: string;
  data: string;
}

export function toNodeEvent(row: EventRow): NodeEvent {
  return {
    log: row.log,
    source: row.source,
    id: row.event_id,
    level: levelOf(row.level),
    atUnixMs: row.at.getTime(),
    message: row.message,
    data: row.data === '' ? {} : JSON.parse(row.data),
  };
}

/** The same columns as arrays, for `unnest($n::text[], …)`: log, source, event_id, level, at (milliseconds), message, data. */
export function eventColumns(events: readonly NodeEvent[]): readonly (readonly (string | number)[])[] {
  return [
    events.map((e) => e.log),
    events.map((e) => e.source),
    events.map((e) => e.id),
    events.map((e) => levelNumber(e.level)),
    events.map((e) => e.atUnixMs),
    events.map((e) => e.message),
    events.map((e) => dataText(e.data)),
  ];
}

function dataText(data: NodeEvent['data']): string {
  const text = JSON.stringify(data);
  return text === '{}' ? '' : text;
}
