import { formatDuration } from '@openline/packs/duration';
import { createColors } from 'picocolors';
import type { Screen } from '../io.ts';
import {
  type AgentHealthView,
  BUCKETS,
  type Bucket,
  type GroupHealthView,
  type HealthState,
  type HeartbeatView,
  type LayerView,
  type MaintenanceView,
  type MonitorView,
  type SuppressedView,
  type WatchView,
} from '../views/health.ts';
import { at } from '../views/values.ts';
import type { Paint } from './states.ts';
import { type Column, renderTable } from './table.ts';
import { fit, formatCount, plural, printable } from './text.ts';
import { formatAge } from './time.ts';

function bucketPaint(bucket: Bucket, color: boolean): Paint {
  const paint = createColors(color);
  return {
    healthy: paint.green,
    unknown: paint.magenta,
    warning: paint.yellow,
    critical: paint.red,
    unreachable: paint.gray,
    maintenance: paint.blue,
  }[bucket];
}

/** "3 healthy, 1 critical, 2 in maintenance" */
export function countsText(counts: Record<Bucket, number>, color: boolean): string {
  const parts = BUCKETS.flatMap((bucket) => {
    const count = counts[bucket];
    const words = bucket === 'maintenance' ? 'in maintenance' : bucket;
    return count === 0 ? [] : [bucketPaint(bucket, color)(`${formatCount(count)} ${words}`)];
  });
  return parts.length === 0 ? 'no agents' : parts.join(', ');
}

export function renderFleet({ counts, outage }: GroupHealthView, screen: Screen): string[] {
  const lost = outage ? createColors(screen.color).red(' · lost together: see `openline alerts`') : '';
  return [`fleet: ${countsText(counts, screen.color)}${lost}`];
}

export function renderGroups(groups: readonly GroupHealthView[], screen: Screen): string[] {
  const columns: Column<GroupHealthView>[] = [
    { title: 'GROUP', cell: (group) => `${group.label}=${group.value}`, shrinks: true },
    {
      title: 'STATE',
      cell: (group) => group.state ?? 'maintenance',
      paint: (text, group) => bucketPaint(group.state ?? 'maintenance', screen.color)(text),
    },
    { title: 'ROLL-UP', cell: ({ rollup, percent }) => (percent === null ? rollup : `best ${percent} %`) },
    { title: 'AGENTS', cell: (group) => countsText(group.counts, false), shrinks: true },
    { title: '', cell: (group) => (group.outage ? 'lost together' : ' ') },
  ];
  return renderTable(columns, groups, screen.columns);
}

/** Grey: what was last known of it. */
function stateText({ counted, state }: AgentHealthView): string {
  return counted === 'unreachable' || counted === 'maintenance' ? `${counted} (${state})` : state;
}

export function renderAgentHealth(agents: readonly AgentHealthView[], screen: Screen, nowMs: number): string[] {
  const columns: Column<AgentHealthView>[] = [
    { title: 'AGENT', cell: (agent) => agent.agent, shrinks: true },
    {
      title: 'HEALTH',
      cell: stateText,
      paint: (text, agent) => bucketPaint(agent.counted, screen.color)(text),
    },
    {
      title: 'LINE',
      cell: ({ line, lineSince }) => (line === 'up' ? 'up' : `${line} ${formatAge(at(lineSince), nowMs)}`),
    },
    { title: 'WHY', cell: (agent) => agent.reason ?? ' ', shrinks: true },
  ];
  return renderTable(columns, agents, screen.columns);
}

/** One line of a watch that is not a terminal. */
export function renderHealthChange(agent: AgentHealthView, screen: Screen): string {
  const why = agent.reason === null ? '' : `: ${agent.reason}`;
  return fit(printable(`${agent.agent} ${stateText(agent)}${why}`), screen.columns);
}

export function renderHeartbeat(heartbeat: HeartbeatView): string[] {
  const { intervalMs, silenceMs, stoppedAfterMs, alert, severity, layers } = heartbeat;
  return [
    `heartbeat:    every ${formatDuration(intervalMs)}; lost after ${formatDuration(silenceMs)} of silence; ` +
      `when it was stopped: ${stoppedAfterMs === null ? 'never' : `after ${formatDuration(stoppedAfterMs)}`}`,
    `alert:        ${alert ? severity : 'none'}`,
    ...(layers.length === 0
      ? ['because:      the server’s configuration says so']
      : ['because:', ...renderLayers(layers)]),
  ];
}

export function renderLayers(layers: readonly LayerView[]): string[] {
  return layers.flatMap((layer) => [
    printable(
      `  ${layer.name}: on ${layer.on} (${layer.specificity}${layer.priority === 0 ? '' : `, priority ${layer.priority}`})${layer.reason === null ? '' : `: ${layer.reason}`}`,
    ),
    ...layer.fields.map(({ name, value, overruledBy }) =>
      printable(`    ${settingText(name, value, ' = ')}${overruledBy === null ? '' : `, overruled by ${overruledBy}`}`),
    ),
  ]);
}

/** @param ofMany false: all are of one agent, which is named already */
export function renderMonitors(
  monitors: readonly MonitorView[],
  ofMany: boolean,
  screen: Screen,
  nowMs: number,
): string[] {
  const paintOf = (state: HealthState, stale: boolean): Paint =>
    stale ? createColors(screen.color).gray : bucketPaint(state, screen.color);
  const columns: Column<MonitorView>[] = [
    ...(ofMany ? [{ title: 'AGENT', cell: (monitor: MonitorView) => monitor.agent, shrinks: true }] : []),
    { title: 'MONITOR', cell: (monitor) => monitor.monitor, shrinks: true },
    { title: 'INSTANCE', cell: (monitor) => monitor.instance ?? '', shrinks: true },
    {
      title: 'STATE',
      cell: ({ state, stale }) => (stale ? `(${state})` : state),
      paint: (text, { state, stale }) => paintOf(state, stale)(text),
    },
    { title: 'SINCE', cell: (monitor) => formatAge(at(monitor.since), nowMs) },
    {
      title: 'WHY',
      cell: ({ reason, resetPending }) => `${reason ?? ''}${resetPending ? ' (a reset waits)' : ''}` || ' ',
      shrinks: true,
    },
  ];
  return renderTable(columns, monitors, screen.columns);
}

/** @param onAgent whether they are shown as they hold on an agent */
export function renderWatches(watches: readonly WatchView[], onAgent: boolean, screen: Screen): string[] {
  const paint = createColors(screen.color);
  const columns: Column<WatchView>[] = [
    { title: watches[0]?.kind === 'monitor' ? 'MONITOR' : 'RULE', cell: (watch) => watch.name },
    {
      title: onAgent ? 'HOLDS' : 'ENABLED',
      cell: ({ holds, enabled }) => ((onAgent ? holds : enabled) ? 'yes' : 'no'),
      paint: (text, { holds, enabled }) => ((onAgent ? holds : enabled) ? paint.green(text) : paint.yellow(text)),
    },
    { title: 'SETTINGS', cell: settingsText, shrinks: true },
    ...(onAgent
      ? [{ title: 'WHY', cell: (watch: WatchView) => watch.why ?? '', shrinks: true }]
      : [{ title: 'OVERRIDES', cell: (watch: WatchView) => String(watch.overrides) }]),
    { title: 'TITLE', cell: (watch) => watch.title, shrinks: true },
  ];
  return renderTable(columns, watches, screen.columns);
}

/** "warning_percent=80 critical_percent=90*": with a star what an override says. */
export function settingsText({ settings, overridden }: WatchView): string {
  if (typeof settings !== 'object' || settings === null) return '';
  return Object.entries(settings)
    .map(([key, value]) => `${settingText(key, value, '=')}${overridden.includes(key) ? '*' : ''}`)
    .join(' ');
}

/** Times of what is watched, as a file names them. A pack's own settings stay as they are. */
const TIMES: ReadonlyMap<string, string> = new Map([
  ['every_ms', 'every'],
  ['threshold.within_ms', 'threshold.within'],
  ['absence.within_ms', 'absence.within'],
  ['reset.after_ms', 'resetAfter'],
  ['interval_ms', 'interval'],
  ['stopped_after_ms', 'stoppedAfter'],
]);

function settingText(name: string, value: unknown, equals: string): string {
  const time = TIMES.get(name);
  if (time !== undefined && typeof value === 'number') return `${time}${equals}${formatDuration(value)}`;
  return `${name}${equals}${typeof value === 'string' ? value : JSON.stringify(value)}`;
}

export function renderMaintenances(maintenances: readonly MaintenanceView[], screen: Screen, nowMs: number): string[] {
  const paint = createColors(screen.color);
  const columns: Column<MaintenanceView>[] = [
    { title: 'ID', cell: (m) => m.id || '-' },
    {
      title: 'PHASE',
      cell: (m) => m.phase,
      paint: (text, m) =>
        ({ scheduled: paint.cyan, active: paint.blue, ended: paint.dim, unknown: paint.dim })[m.phase](text),
    },
    { title: 'ON', cell: (m) => m.targets, shrinks: true },
    { title: 'AGENTS', cell: (m) => (m.phase === 'active' ? String(m.agents) : '-') },
    { title: 'WHEN', cell: (m) => whenText(m, nowMs) },
    { title: 'BY', cell: (m) => (m.window === null ? m.startedBy : `window ${m.window}`), shrinks: true },
    { title: 'SUPPRESSED', cell: (m) => String(m.suppressed) },
    { title: 'REASON', cell: (m) => m.reason ?? '', shrinks: true },
  ];
  return renderTable(columns, maintenances, screen.columns);
}

function whenText({ phase, startsAt, endsAt, endedAt }: MaintenanceView, nowMs: number): string {
  switch (phase) {
    case 'scheduled':
      return `starts ${formatAge(at(startsAt), nowMs)}`;
    case 'active':
      return `ends ${formatAge(at(endsAt), nowMs)}`;
    case 'ended':
    case 'unknown':
      return `ended ${formatAge(at(endedAt ?? endsAt), nowMs)}`;
    default:
      return phase satisfies never;
  }
}

export function renderMaintenance(
  maintenance: MaintenanceView,
  names: readonly string[],
  alerts: readonly SuppressedView[],
  screen: Screen,
  nowMs: number,
): string[] {
  const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
  const { id, phase, targets, reason, startedBy, window, startsAt, endsAt, endedBy } = maintenance;
  return [
    line('id', id),
    line('phase', `${phase}, ${whenText(maintenance, nowMs)}${endedBy === null ? '' : ` by ${endedBy}`}`),
    line('on', targets),
    line('from', `${startsAt ?? '-'} to ${endsAt ?? '-'}`),
    line('started by', window === null ? startedBy : `window ${window} (declared by ${startedBy})`),
    line('reason', reason ?? '-'),
    line('agents', names.length === 0 ? 'none' : `${plural(names.length, 'agent')}: ${names.join(', ')}`),
    `suppressed:   ${plural(maintenance.suppressed, 'alert')}`,
    ...(alerts.length === 0
      ? []
      : renderTable(
          [
            { title: '  ALERT', cell: (alert) => `  ${alert.id}` },
            { title: 'AGENT', cell: (alert) => alert.agent, shrinks: true },
            { title: 'STATE', cell: (alert) => (alert.closed ? 'closed' : 'open') },
            { title: 'RAISED', cell: (alert) => formatAge(at(alert.raisedAt), nowMs) },
            { title: 'TITLE', cell: (alert) => alert.title, shrinks: true },
          ] satisfies Column<SuppressedView>[],
          alerts,
          screen.columns,
        )),
  ];
}
