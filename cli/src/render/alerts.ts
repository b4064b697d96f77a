import { createColors } from 'picocolors';
import type { Screen } from '../io.ts';
import type { AlertChangeView, AlertView, EventView, LevelView, SeverityView } from '../views/alert.ts';
import { at } from '../views/values.ts';
import type { Paint } from './states.ts';
import { type Column, renderTable } from './table.ts';
import { fit, formatCount, padEnd, printable } from './text.ts';
import { formatAge } from './time.ts';

export function severityPaint(severity: SeverityView, color: boolean): Paint {
  const paint = createColors(color);
  return { critical: paint.red, warning: paint.yellow, information: paint.cyan, unknown: paint.dim }[severity];
}

function levelPaint(level: LevelView, color: boolean): Paint {
  const paint = createColors(color);
  const plain: Paint = (text) => text;
  return {
    critical: paint.red,
    error: paint.red,
    warning: paint.yellow,
    info: plain,
    debug: paint.dim,
    unknown: paint.dim,
  }[level];
}

/** Words of a table, where every column counts. */
const SHORT_SEVERITY: Readonly<Record<SeverityView, string>> = {
  information: 'info',
  warning: 'warning',
  critical: 'critical',
  unknown: 'unknown',
};
const SHORT_STATE = { new: 'new', acknowledged: 'ack', closed: 'closed', unknown: 'unknown' } as const;

export function renderAlerts(alerts: readonly AlertView[], screen: Screen, nowMs: number): string[] {
  const columns: Column<AlertView>[] = [
    { title: 'ID', cell: (alert) => alert.id },
    {
      title: 'SEVERITY',
      cell: (alert) => SHORT_SEVERITY[alert.severity],
      paint: (text, alert) => severityPaint(alert.severity, screen.color)(text),
    },
    { title: 'STATE', cell: (alert) => SHORT_STATE[alert.state] },
    { title: 'AGENT', cell: (alert) => alert.agent, shrinks: true },
    { title: 'ALERT', cell: titleOf, shrinks: true },
    { title: 'BY', cell: (alert) => alert.watch, shrinks: true },
    { title: 'COUNT', cell: (alert) => formatCount(alert.count) },
    { title: 'LAST', cell: (alert) => formatAge(at(alert.lastAt), nowMs) },
    ...(alerts.some((alert) => alert.owner !== null)
      ? [{ title: 'OWNER', cell: (alert: AlertView) => alert.owner ?? '', shrinks: true }]
      : []),
  ];
  return renderTable(columns, alerts, screen.columns);
}

function titleOf({ title, maintenanceId }: AlertView): string {
  return maintenanceId === null ? title : `${title} (in maintenance)`;
}

/** One line of a watch. */
export function renderUpdate(change: AlertChangeView, alert: AlertView, screen: Screen): string {
  const what = change.kind === 'severity' ? (change.comment ?? 'severity') : whatOf(change);
  const said = change.comment === null || change.kind === 'severity' ? '' : `: ${change.comment}`;
  const who = change.by === alert.watch ? '' : ` by ${change.by}`;
  const head = `${clockOf(change.at, 0)}  ${padEnd(alert.id, 5)} `;
  const severity = padEnd(SHORT_SEVERITY[alert.severity], 8);
  const where = alert.title.startsWith(`${alert.agent}:`) ? '' : `${alert.agent}: `;
  const rest = `  ${where}${alert.title} · ${what}${who}${said}${alert.count > 1 ? ` (${formatCount(alert.count)} times)` : ''}`;
  const line = fit(printable(`${head}${severity}${rest}`), screen.columns);
  if (!line.startsWith(head + severity)) return line;
  return head + severityPaint(alert.severity, screen.color)(severity) + line.slice(head.length + severity.length);
}

function whatOf({ kind, owner }: AlertChangeView): string {
  if (kind !== 'assigned') return kind;
  return owner === null ? 'given back' : `given to ${owner}`;
}

export function renderAlert(
  { alert, history, events }: { alert: AlertView; history: readonly AlertChangeView[]; events: readonly EventView[] },
  screen: Screen,
  nowMs: number,
): string[] {
  const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
  const times = alert.count === 1 ? 'once' : `${formatCount(alert.count)} times`;
  const first = formatAge(at(alert.firstAt), nowMs);
  return [
    line('alert', alert.id),
    `${'severity:'.padEnd(14)}${severityPaint(alert.severity, screen.color)(alert.severity)}`,
    line('state', alert.closedAt === null ? alert.state : `${alert.state} ${formatAge(at(alert.closedAt), nowMs)}`),
    line('title', alert.title),
    ...(alert.description === '' ? [] : [...describe(alert.description)]),
    line('agent', alert.agent),
    line('by', `${alert.kind} ${alert.watch}${alert.key === null ? '' : ` (${alert.key})`}`),
    line(
      'happened',
      alert.count === 1 ? first : `${times}, first ${first}, last ${formatAge(at(alert.lastAt), nowMs)}`,
    ),
    line('owner', alert.owner ?? 'nobody'),
    ...(alert.maintenanceId === null ? [] : [line('maintenance', `${alert.maintenanceId}: nobody is notified`)]),
    '',
    'history:',
    ...renderTable(
      [
        { title: '  WHEN', cell: (change: AlertChangeView) => `  ${formatAge(at(change.at), nowMs)}` },
        { title: 'WHAT', cell: whatOf },
        { title: 'BY', cell: (change) => change.by, shrinks: true },
        { title: 'COMMENT', cell: (change) => change.comment ?? '', shrinks: true },
      ],
      history,
      screen.columns,
    ),
    ...(events.length === 0
      ? []
      : [
          '',
          'events behind it, the newest first:',
          ...renderEvents(events, screen, nowMs, { indent: '  ', brief: true }),
        ]),
  ];
}

/** Its lines, below each other. */
function describe(description: string): string[] {
  const [first = '', ...more] = description.split('\n').map(printable);
  return [`${'description:'.padEnd(14)}${first}`, ...more.map((text) => `${' '.repeat(14)}${text}`)];
}

export function renderEvents(
  events: readonly EventView[],
  screen: Screen,
  nowMs: number,
  { indent = '', brief = false }: { indent?: string; brief?: boolean } = {},
): string[] {
  const columns: Column<EventView>[] = [
    { title: `${indent}TIME`, cell: (event) => `${indent}${clockOf(event.at, nowMs)}` },
    ...(brief ? [] : [{ title: 'AGENT', cell: agentOf, shrinks: true }]),
    {
      title: 'LEVEL',
      cell: (event) => event.level,
      paint: (text, event) => levelPaint(event.level, screen.color)(text),
    },
    { title: 'LOG', cell: (event) => event.log, shrinks: true },
    { title: 'SOURCE', cell: sourceOf, shrinks: true },
    { title: 'MESSAGE', cell: (event) => event.message, shrinks: true },
    ...(brief ? [] : [{ title: 'BY', cell: (event: EventView) => event.watch ?? '', shrinks: true }]),
  ];
  return renderTable(columns, events, screen.columns);
}

/** One line of `--follow`, which cannot know how wide its columns will be. */
export function renderEvent(event: EventView, screen: Screen, nowMs: number): string {
  const level = padEnd(event.level, 8);
  const head = `${clockOf(event.at, nowMs)}  ${padEnd(fit(agentOf(event), 16), 12)}  `;
  const plain = `${head}${level}  ${padEnd(fit(sourceOf(event), 20), 12)}  ${event.message}`;
  const line = fit(printable(plain), screen.columns);
  const start = printable(head);
  if (!line.startsWith(start + level)) return line;
  return start + levelPaint(event.level, screen.color)(level) + line.slice(start.length + level.length);
}

const agentOf = ({ agent, agentId }: EventView): string => agent ?? agentId;

function sourceOf({ source, id }: EventView): string {
  return id === null ? source : `${source} ${id}`;
}

const DAY_MS = 86_400_000;

/** Local: the time of day; of what is older than a day also the date. @param nowMs 0: always the time of day */
function clockOf(time: string | null, nowMs: number): string {
  const ms = at(time);
  if (ms === null) return '-';
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return nowMs !== 0 && Math.abs(nowMs - ms) > DAY_MS ? `${day} ${clock}` : clock;
}
