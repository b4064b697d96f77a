import type { EventLevel, NodeEvent, Severity } from '@openline/packs';
import * as proto from '@openline/proto/alerts';
import type { Alert, AlertChange, AlertState } from '../alerts/alert.ts';
import type { PastChange } from '../alerts/alert-queries.ts';
import type { StoredEvent } from '../events/event-reader.ts';
import { unixMs } from './times.ts';

export const SEVERITY = {
  information: proto.AlertSeverity.ALERT_SEVERITY_INFORMATION,
  warning: proto.AlertSeverity.ALERT_SEVERITY_WARNING,
  critical: proto.AlertSeverity.ALERT_SEVERITY_CRITICAL,
} as const satisfies Record<Severity, proto.AlertSeverity>;

export const ALERT_STATE = {
  new: proto.AlertState.ALERT_STATE_NEW,
  acknowledged: proto.AlertState.ALERT_STATE_ACKNOWLEDGED,
  closed: proto.AlertState.ALERT_STATE_CLOSED,
} as const satisfies Record<AlertState, proto.AlertState>;

export const LEVEL = {
  debug: proto.EventLevel.EVENT_LEVEL_DEBUG,
  info: proto.EventLevel.EVENT_LEVEL_INFO,
  warning: proto.EventLevel.EVENT_LEVEL_WARNING,
  error: proto.EventLevel.EVENT_LEVEL_ERROR,
  critical: proto.EventLevel.EVENT_LEVEL_CRITICAL,
} as const satisfies Record<EventLevel, proto.EventLevel>;

export function alertMessage(alert: Alert): proto.Alert {
  const { subject } = alert;
  return {
    id: alert.id,
    kind: subject.kind,
    agentId: subject.agentId,
    agentName: alert.agentName,
    labels: { ...alert.labels },
    watch: subject.watch,
    key: subject.key,
    severity: SEVERITY[alert.severity],
    title: alert.title,
    description: alert.description,
    state: ALERT_STATE[alert.state],
    owner: alert.owner,
    count: BigInt(alert.count),
    firstUnixMs: unixMs(alert.firstAt),
    lastUnixMs: unixMs(alert.lastAt),
    closedUnixMs: unixMs(alert.closedAt),
    maintenanceId: alert.maintenanceId,
  };
}

export function pastChangeMessage(change: PastChange): proto.AlertChange {
  return {
    id: BigInt(change.id),
    atUnixMs: unixMs(change.at),
    kind: change.kind,
    by: change.by,
    comment: change.comment,
    severity: SEVERITY[change.severity],
    state: ALERT_STATE[change.state],
    owner: change.owner,
    count: BigInt(change.count),
  };
}

export function changeMessage({ alert, ...change }: AlertChange): proto.AlertChange {
  const { severity, state, owner, count } = alert;
  return pastChangeMessage({ ...change, severity, state, owner, count });
}

export function storedEventMessage(stored: StoredEvent): proto.NodeEvent {
  const { id, agentId, agentName, event, watch, alertId, lost } = stored;
  return {
    ...eventMessage(event),
    id: BigInt(id),
    agentId,
    agentName,
    watch,
    alertId: alertId ?? '',
    gap: lost === undefined ? undefined : { events: BigInt(lost) },
  };
}

/** One of those behind an alert. */
export function behindMessage(event: NodeEvent, { id, subject, agentName }: Alert): proto.NodeEvent {
  const { agentId, watch } = subject;
  return { ...eventMessage(event), id: 0n, agentId, agentName, watch, alertId: id, gap: undefined };
}

function eventMessage(event: NodeEvent) {
  return {
    log: event.log,
    source: event.source,
    eventId: event.id,
    level: LEVEL[event.level],
    atUnixMs: BigInt(event.atUnixMs),
    message: event.message,
    dataJson: JSON.stringify(event.data),
  };
}
