import {
  type AgentHealth,
  type GroupHealth,
  Health,
  type HealthCounts,
  type HeartbeatPolicyView,
  LineState,
  type Maintenance,
  MaintenancePhase,
  type MonitorState,
  type PolicyLayer,
  type SuppressedAlert,
  type Watch,
  WatchKind,
} from '@openline/proto/operator-health';
import { iso, json, number } from './values.ts';

export type HealthState = 'healthy' | 'unknown' | 'warning' | 'critical';
/** What an agent is counted as, once. */
export const BUCKETS = ['healthy', 'unknown', 'warning', 'critical', 'unreachable', 'maintenance'] as const;
export type Bucket = (typeof BUCKETS)[number];

export const HEALTH = {
  healthy: Health.HEALTH_HEALTHY,
  unknown: Health.HEALTH_UNKNOWN,
  warning: Health.HEALTH_WARNING,
  critical: Health.HEALTH_CRITICAL,
} as const satisfies Record<HealthState, Health>;

function stateOf(health: Health): HealthState | null {
  for (const state of ['healthy', 'unknown', 'warning', 'critical'] as const)
    if (HEALTH[state] === health) return state;
  return null;
}

/** An agent's health as `-o json` shows it. Public: fields are added, never renamed or removed. */
export interface AgentHealthView {
  agentId: string;
  agent: string;
  /** What it is counted as. */
  counted: Bucket;
  /** The worst of its monitors and of what its heartbeat says; while its line is not up, as last known. */
  state: HealthState;
  /** lost: longer away than is tolerated. stopped: on purpose, and within its time. */
  line: 'up' | 'away' | 'stopped' | 'lost';
  lineSince: string | null;
  /** While the line is lost: agent, node, network, stopped, removed, unknown. */
  diagnosis: string | null;
  reason: string | null;
  maintenanceId: string | null;
  monitors: { warning: number; critical: number; unknown: number };
}

const LINES = new Map<LineState, AgentHealthView['line']>([
  [LineState.LINE_STATE_UP, 'up'],
  [LineState.LINE_STATE_AWAY, 'away'],
  [LineState.LINE_STATE_STOPPED, 'stopped'],
]);

export function agentHealthView(agent: AgentHealth): AgentHealthView {
  const line = LINES.get(agent.line) ?? 'lost';
  const state = stateOf(agent.state) ?? 'unknown';
  return {
    agentId: agent.agentId,
    agent: agent.agentName,
    counted: agent.maintenanceId !== '' ? 'maintenance' : line === 'up' || line === 'away' ? state : 'unreachable',
    state,
    line,
    lineSince: iso(agent.lineSinceUnixMs),
    diagnosis: agent.diagnosis || null,
    reason: agent.reason || null,
    maintenanceId: agent.maintenanceId || null,
    monitors: { warning: agent.monitorsWarning, critical: agent.monitorsCritical, unknown: agent.monitorsUnknown },
  };
}

export interface GroupHealthView {
  /** Of the HealthGroup, or the label; null: the whole fleet. */
  group: string | null;
  label: string | null;
  value: string | null;
  /** null: no member counts, as all are in maintenance. */
  state: HealthState | null;
  rollup: string;
  percent: number | null;
  counts: Record<Bucket, number>;
  /** Its members were lost together. */
  outage: boolean;
}

export function groupHealthView(group: GroupHealth): GroupHealthView {
  return {
    group: group.group || null,
    label: group.label || null,
    value: group.label === '' ? null : group.value,
    state: stateOf(group.state),
    rollup: group.rollup,
    percent: group.percent || null,
    counts: countsView(group.counts),
    outage: group.outage,
  };
}

function countsView(counts: HealthCounts | undefined): Record<Bucket, number> {
  const { healthy = 0, unknown = 0, warning = 0, critical = 0, unreachable = 0, maintenance = 0 } = counts ?? {};
  return { healthy, unknown, warning, critical, unreachable, maintenance };
}

export interface LayerView {
  name: string;
  on: string;
  specificity: string;
  priority: number;
  reason: string | null;
  fields: { name: string; value: unknown; overruledBy: string | null }[];
}

export function layerView(layer: PolicyLayer): LayerView {
  return {
    name: layer.name,
    on: layer.on,
    specificity: layer.specificity,
    priority: layer.priority,
    reason: layer.reason || null,
    fields: layer.fields.map(({ name, value, overruledBy }) => ({
      name,
      value: json(value, value),
      overruledBy: overruledBy || null,
    })),
  };
}

export interface HeartbeatView {
  intervalMs: number;
  silenceMs: number;
  /** null: never. */
  stoppedAfterMs: number | null;
  alert: boolean;
  severity: string;
  layers: LayerView[];
}

export function heartbeatView(policy: HeartbeatPolicyView | undefined): HeartbeatView | null {
  return policy === undefined
    ? null
    : {
        intervalMs: number(policy.intervalMs),
        silenceMs: number(policy.silenceMs),
        stoppedAfterMs: number(policy.stoppedAfterMs) || null,
        alert: policy.alert,
        severity: policy.severity,
        layers: policy.layers.map(layerView),
      };
}

export interface MonitorView {
  agentId: string;
  agent: string;
  monitor: string;
  instance: string | null;
  state: HealthState;
  since: string | null;
  reason: string | null;
  sample: unknown;
  /** The line of its agent is not up: this is what was last known. */
  stale: boolean;
  resetPending: boolean;
}

export function monitorView(monitor: MonitorState): MonitorView {
  return {
    agentId: monitor.agentId,
    agent: monitor.agentName,
    monitor: monitor.monitor,
    instance: monitor.instance || null,
    state: stateOf(monitor.state) ?? 'unknown',
    since: iso(monitor.sinceUnixMs),
    reason: monitor.reason || null,
    sample: monitor.sampleJson === '' ? null : json(monitor.sampleJson, monitor.sampleJson),
    stale: monitor.stale,
    resetPending: monitor.resetPending,
  };
}

export interface WatchView {
  kind: 'rule' | 'monitor';
  name: string;
  packVersion: string;
  title: string;
  description: string;
  enabled: boolean;
  settings: unknown;
  /** Of it, on whichever agents. */
  overrides: number;
  /** On the agent that was asked for. */
  holds: boolean;
  why: string | null;
  overridden: string[];
}

export function watchView(watch: Watch): WatchView {
  return {
    kind: watch.kind === WatchKind.WATCH_KIND_MONITOR ? 'monitor' : 'rule',
    name: watch.name,
    packVersion: watch.packVersion,
    title: watch.title,
    description: watch.description,
    enabled: watch.enabled,
    settings: json(watch.settingsJson, {}),
    overrides: watch.overrides,
    holds: watch.holds,
    why: watch.why || null,
    overridden: watch.overridden,
  };
}

export interface MaintenanceView {
  id: string;
  /** The MaintenanceWindow that it is an occurrence of. */
  window: string | null;
  targets: string;
  reason: string | null;
  startedBy: string;
  phase: 'scheduled' | 'active' | 'ended' | 'unknown';
  createdAt: string | null;
  startsAt: string | null;
  endsAt: string | null;
  endedAt: string | null;
  endedBy: string | null;
  agents: number;
  suppressed: number;
}

const PHASES = new Map<MaintenancePhase, MaintenanceView['phase']>([
  [MaintenancePhase.MAINTENANCE_PHASE_SCHEDULED, 'scheduled'],
  [MaintenancePhase.MAINTENANCE_PHASE_ACTIVE, 'active'],
  [MaintenancePhase.MAINTENANCE_PHASE_ENDED, 'ended'],
]);

export function maintenanceView(maintenance: Maintenance): MaintenanceView {
  return {
    id: maintenance.id,
    window: maintenance.window || null,
    targets: maintenance.targets,
    reason: maintenance.reason || null,
    startedBy: maintenance.startedBy,
    phase: PHASES.get(maintenance.phase) ?? 'unknown',
    createdAt: iso(maintenance.createdUnixMs),
    startsAt: iso(maintenance.startsUnixMs),
    endsAt: iso(maintenance.endsUnixMs),
    endedAt: iso(maintenance.endedUnixMs),
    endedBy: maintenance.endedBy || null,
    agents: maintenance.agents,
    suppressed: maintenance.suppressed,
  };
}

export interface SuppressedView {
  id: string;
  agent: string;
  watch: string;
  title: string;
  raisedAt: string | null;
  closed: boolean;
}

export function suppressedView(alert: SuppressedAlert): SuppressedView {
  const { id, agentName, watch, title, raisedUnixMs, closed } = alert;
  return { id, agent: agentName, watch, title, raisedAt: iso(raisedUnixMs), closed };
}
