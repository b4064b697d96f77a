import type { Alert } from '../../alerts/alert.ts';
import type { AlertmanagerTarget } from '../channels/channel.ts';
import { createHttpSender, type HttpDeps } from './http-sender.ts';
import type { Sender } from './sender.ts';

/** Alertmanager's API v2: an alert is its labels; saying it again changes nothing, and one with an end in the past is resolved. */
export function createAlertmanagerSender(target: AlertmanagerTarget, deps: HttpDeps): Sender {
  return createHttpSender(target, deps, (message) => {
    const alerts = new Map(message.items.map(({ alert }) => [alert.id, alert]));
    // A test is resolved as it is raised: it shows, and wakes nobody for long.
    const now = deps.clock.now();
    const test = message.kind === 'test';
    return alertsRequest([...alerts.values()], target, now, test);
  });
}

const PATH = '/api/v2/alerts';
const TEST_MS = 60_000;

export function alertsRequest(alerts: readonly Alert[], target: AlertmanagerTarget, now: Date, test = false) {
  return { path: PATH, headers: {}, body: JSON.stringify(alerts.map((alert) => postable(alert, target, now, test))) };
}

function postable(alert: Alert, target: AlertmanagerTarget, now: Date, test: boolean): object {
  const { subject } = alert;
  const labels = {
    ...Object.fromEntries(Object.entries(alert.labels).map(([name, value]) => [labelName(name), value])),
    ...Object.fromEntries(target.labels),
    alertname: subject.watch,
    severity: alert.severity === 'information' ? 'info' : alert.severity,
    source: 'openline',
    agent: alert.agentName,
    key: subject.key,
    ...(test && { openline_test: 'true' }),
  };
  return {
    // An empty label is no label.
    labels: Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== '')),
    annotations: { summary: alert.title, description: alert.description, openline_alert: alert.id },
    startsAt: alert.firstAt.toISOString(),
    endsAt: (test ? new Date(now.getTime() + TEST_MS) : (alert.closedAt ?? openUntil(target, now))).toISOString(),
  };
}

/** Long enough for a restart of this server; without any word from it, Alertmanager takes the alert for over then. */
function openUntil({ resendMs }: AlertmanagerTarget, now: Date): Date {
  return new Date(now.getTime() + Math.max(15 * 60_000, 4 * resendMs));
}

function labelName(name: string): string {
  const clean = name.replace(/[^a-zA-Z0-9_]/g, '_');
  return /^[0-9]/.test(clean) ? `_${clean}` : clean;
}
