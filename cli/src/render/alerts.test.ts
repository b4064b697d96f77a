import { Alert, AlertChange, AlertSeverity, AlertState, EventLevel, NodeEvent } from '@openline/proto/alerts';
import { describe, expect, it } from 'vitest';
import { alertChangeView, alertView, eventView } from '../views/alert.ts';
import { renderAlert, renderAlerts, renderEvent, renderEvents, renderUpdate } from './alerts.ts';
import { widthOf } from './text.ts';

const NOW = Date.UTC(2026, 0, 2, 12);
const ago = (seconds: number) => BigInt(NOW - seconds * 1000);
const screen = (columns: number) => ({ isTTY: true, columns, rows: 40, color: false });

const alert = (over: Partial<Alert> = {}) =>
  alertView({
    ...Alert.create(),
    id: '1042',
    kind: 'monitor',
    agentId: 'a1',
    agentName: 'web-1.example.internal',
    watch: 'linux/disk-filling',
    key: '/var/lib/postgresql',
    severity: AlertSeverity.ALERT_SEVERITY_CRITICAL,
    title: 'The file system /var/lib/postgresql is 97 % full and has an hour left',
    description: 'It grows by 2 GB an hour.\nSee the runbook.',
    state: AlertState.ALERT_STATE_NEW,
    count: 1_234n,
    firstUnixMs: ago(7200),
    lastUnixMs: ago(45),
    ...over,
  });
const change = (over: Partial<AlertChange> = {}) =>
  alertChangeView({ ...AlertChange.create(), kind: 'raised', by: 'linux/disk-filling', atUnixMs: ago(45), ...over });
const event = (over: Partial<NodeEvent> = {}) =>
  eventView({
    ...NodeEvent.create(),
    agentId: 'a1',
    agentName: 'web-1.example.internal',
    log: 'file:/var/log/postgresql/postgresql-16-main.log',
    source: 'postgres',
    level: EventLevel.EVENT_LEVEL_ERROR,
    atUnixMs: ago(45),
    message: 'could not extend file "base/16384/2619": No space left on device',
    dataJson: '{}',
    watch: 'linux/disk-filling',
    ...over,
  });

describe('a table of alerts', () => {
  it('fits into the terminal, whatever is in it', () => {
    const some = [alert(), alert({ owner: 'ada.lovelace@example.com', state: AlertState.ALERT_STATE_ACKNOWLEDGED })];
    for (const columns of [80, 100, 120]) {
      for (const line of renderAlerts(some, screen(columns), NOW)) expect(widthOf(line)).toBeLessThanOrEqual(columns);
    }
  });
  it('says in 120 columns what is wrong, where, since when, and whose it is', () => {
    const [, first = ''] = renderAlerts(
      [alert({ title: 'disk full', owner: 'ada', agentName: 'web-1' })],
      screen(120),
      NOW,
    );
    expect(first).toBe('1042   critical   new     web-1   disk full   linux/disk-filling   1,234   45s ago   ada');
  });
  it('shows owners only when somebody has one, and marks what is in maintenance', () => {
    const [titles = '', line = ''] = renderAlerts([alert({ title: 'x', maintenanceId: 'm' })], screen(200), NOW);
    expect(titles).not.toContain('OWNER');
    expect(line).toContain('x (in maintenance)');
  });
});

describe('one alert', () => {
  it('is shown with its description, its history and its events', () => {
    const lines = renderAlert(
      {
        alert: alert({ owner: 'ada' }),
        history: [change(), change({ kind: 'commented', by: 'ada', comment: 'swapped the disk' })],
        events: [event()],
      },
      screen(100),
      NOW,
    );
    expect(lines.join('\n')).toContain('description:  It grows by 2 GB an hour.\n              See the runbook.');
    expect(lines.join('\n')).toContain('by:           monitor linux/disk-filling (/var/lib/postgresql)');
    expect(lines.join('\n')).toContain('happened:     1,234 times, first 2h ago, last 45s ago');
    expect(lines.join('\n')).toMatch(/45s ago +commented +ada +swapped the disk/);
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(100);
  });
  it('cannot steer the terminal', () => {
    const shown = renderAlert({ alert: alert({ title: 'a\x1b[2J' }), history: [], events: [] }, screen(80), NOW);
    expect(shown.join('')).not.toContain('\x1b');
    expect(renderUpdate(change({ comment: '\x1b[2J' }), alert(), screen(80))).not.toContain('\x1b');
    expect(renderEvent(event({ message: '\x1b[2J', agentName: '\x1b' }), screen(200), NOW)).not.toContain('\x1b');
  });
});

describe('a change of an alert', () => {
  it('is one line that says what happened, and who did it when it was a person', () => {
    expect(renderUpdate(change(), alert({ agentName: 'web-1', title: 'disk full', count: 1n }), screen(200))).toMatch(
      /^\d\d:\d\d:\d\d {2}1042 {2}critical {2}web-1: disk full · raised$/,
    );
    const acknowledged = change({ kind: 'acknowledged', by: 'ada', comment: 'mine' });
    expect(renderUpdate(acknowledged, alert({ title: 't', count: 2n }), screen(200))).toMatch(
      /: t · acknowledged by ada: mine \(2 times\)$/,
    );
    const worse = change({ kind: 'severity', comment: 'warning → critical' });
    expect(renderUpdate(worse, alert({ title: 't', count: 1n }), screen(200))).toMatch(/: t · warning → critical$/);
    expect(widthOf(renderUpdate(change(), alert(), screen(60)))).toBeLessThanOrEqual(60);
  });
});

describe('events', () => {
  it('fit into the terminal, as a table and line by line', () => {
    const missing = event({ gap: { events: 7n }, message: '7 events are missing: flood', watch: '' });
    for (const columns of [80, 120]) {
      const lines = [
        ...renderEvents([event(), missing], screen(columns), NOW),
        renderEvent(event(), screen(columns), NOW),
      ];
      for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns);
    }
  });
  it('of another day carry their date', () => {
    const [, old = ''] = renderEvents([event({ atUnixMs: ago(90_000) })], screen(200), NOW);
    expect(old).toMatch(/^\d\d-\d\d \d\d:\d\d:\d\d /);
  });
});
