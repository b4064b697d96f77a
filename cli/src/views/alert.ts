import {
  type Alert,
  type AlertChange,
  AlertSeverity,
  AlertState,
  EventLevel,
  type NodeEvent,
} from '@openline/proto/alerts';
import { iso, json, number } from './values.ts';

export type SeverityView = 'information' | 'warning' | 'critical' | 'unknown';
export type AlertStateView = 'new' | 'acknowledged' | 'closed' | 'unknown';
export type LevelView = 'debug' | 'info' | 'warning' | 'error' | 'critical' | 'unknown';

export const SEVERITIES = {
  information: AlertSeverity.ALERT_SEVERITY_INFORMATION,
  warning: AlertSeverity.ALERT_SEVERITY_WARNING,
  critical: AlertSeverity.ALERT_SEVERITY_CRITICAL,
} as const satisfies Record<Exclude<SeverityView, 'unknown'>, AlertSeverity>;

export const STATES = {
  new: AlertState.ALERT_STATE_NEW,
  acknowledged: AlertState.ALERT_STATE_ACKNOWLEDGED,
  closed: AlertState.ALERT_STATE_CLOSED,
} as const satisfies Record<Exclude<AlertStateView, 'unknown'>, AlertState>;

export const LEVELS = {
  debug: EventLevel.EVENT_LEVEL_DEBUG,
  info: EventLevel.EVENT_LEVEL_INFO,
  warning: EventLevel.EVENT_LEVEL_WARNING,
  error: EventLevel.EVENT_LEVEL_ERROR,
  critical: EventLevel.EVENT_LEVEL_CRITICAL,
} as const satisfies Record<Exclude<LevelView, 'unknown'>, EventLevel>;

/** An alert as `-o json` shows it. Public: fields are added, never renamed or removed. */
export interface AlertView {
  id: string;
  /** line: the server's own view of an agent's line, or of a group of them. */
  kind: string;
  /** null for a group of agents. */
  agentId: string | null;
  /** Of the agent, or of the group. */
  agent: string;
  labels: Record<string, string>;
  /** "pack/rule" or "pack/monitor" */
  watch: string;
  /** What tells it from other alerts of the same watch and agent. */
  key: string | null;
  severity: SeverityView;
  title: string;
  description: string;
  state: AlertStateView;
  owner: string | null;
  count: number;
  firstAt: string | null;
  lastAt: string | null;
  closedAt: string | null;
  maintenanceId: string | null;
}

export function alertView(alert: Alert): AlertView {
  return {
    id: alert.id,
    kind: alert.kind,
    agentId: alert.agentId || null,
    agent: alert.agentName,
    labels: alert.labels,
    watch: alert.watch,
    key: alert.key || null,
    severity: nameIn(SEVERITIES, alert.severity),
    title: alert.title,
    description: alert.description,
    state: nameIn(STATES, alert.state),
    owner: alert.owner || null,
    count: number(alert.count),
    firstAt: iso(alert.firstUnixMs),
    lastAt: iso(alert.lastUnixMs),
    closedAt: iso(alert.closedUnixMs),
    maintenanceId: alert.maintenanceId || null,
  };
}

/** What happened to an alert, and what it was after that. */
export interface AlertChangeView {
  at: string | null;
  kind: string;
  by: string;
  comment: string | null;
  severity: SeverityView;
  state: AlertStateView;
  owner: string | null;
  count: number;
}

export function alertChangeView(change: AlertChange): AlertChangeView {
  return {
    at: iso(change.atUnixMs),
    kind: change.kind,
    by: change.by,
    comment: change.comment || null,
    severity: nameIn(SEVERITIES, change.severity),
    state: nameIn(STATES, change.state),
    owner: change.owner || null,
    count: number(change.count),
  };
}

/** The lines of `openline alerts --watch -o jsonl`. */
export type AlertWatchView =
  /** It matches; told at the beginning, and again when the reader was too slow or the connection was lost. */
  | { type: 'alert'; alert: AlertView }
  /** matches false: it did before. */
  | { type: 'update'; change: AlertChangeView; alert: AlertView; matches: boolean };

/** Something that an agent observed, or, where `missing` is not null, says that it did not. */
export interface EventView {
  agentId: string;
  /** null when the agent is gone. */
  agent: string | null;
  log: string;
  source: string;
  id: string | null;
  level: LevelView;
  /** By the agent's clock. */
  at: string | null;
  message: string;
  data: unknown;
  /** "pack/rule" or "pack/monitor" that took it; null for a gap. */
  watch: string | null;
  alertId: string | null;
  /** How many events are missing here; 0: nobody knows how many. null: this is an event. */
  missing: number | null;
}

export function eventView(event: NodeEvent): EventView {
  return {
    agentId: event.agentId,
    agent: event.agentName || null,
    log: event.log,
    source: event.source,
    id: event.eventId || null,
    level: nameIn(LEVELS, event.level),
    at: iso(event.atUnixMs),
    message: event.message,
    data: json(event.dataJson, {}),
    watch: event.watch || null,
    alertId: event.alertId || null,
    missing: event.gap === undefined ? null : number(event.gap.events),
  };
}

function nameIn<Name extends string>(numbers: Readonly<Record<Name, number>>, wanted: number): Name | 'unknown' {
  for (const name in numbers) if (numbers[name] === wanted) return name;
  return 'unknown';
}
