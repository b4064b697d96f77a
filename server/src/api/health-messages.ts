import {
  type AgentHealth as AgentHealthMessage,
  type GroupHealth as GroupHealthMessage,
  Health,
  type HeartbeatPolicyView,
  LineState,
  type MonitorState,
  type PolicyLayer,
  type Watch,
  WatchKind,
} from '@openline/proto/operator-health';
import type { AgentHealth, GroupHealth } from '../health/health-reader.ts';
import type { MonitorView } from '../health/monitor-reader.ts';
import type { State } from '../health/rollup.ts';
import type { Heartbeat, Layer } from '../policy/resolve.ts';
import type { WatchView } from '../policy/watch-reader.ts';
import { unixMs } from './times.ts';

const STATE = {
  healthy: Health.HEALTH_HEALTHY,
  unknown: Health.HEALTH_UNKNOWN,
  warning: Health.HEALTH_WARNING,
  critical: Health.HEALTH_CRITICAL,
} as const satisfies Record<State, Health>;

const LINE = {
  up: LineState.LINE_STATE_UP,
  away: LineState.LINE_STATE_AWAY,
  stopped: LineState.LINE_STATE_STOPPED,
  lost: LineState.LINE_STATE_LOST,
} as const satisfies Record<AgentHealth['line'], LineState>;

export function agentMessage(agent: AgentHealth): AgentHealthMessage {
  return {
    agentId: agent.id,
    agentName: agent.name,
    state: STATE[agent.state],
    line: LINE[agent.line],
    lineSinceUnixMs: unixMs(agent.lineSince),
    diagnosis: agent.diagnosis,
    reason: agent.reason,
    maintenanceId: agent.maintenanceId,
    monitorsWarning: agent.monitors.warning,
    monitorsCritical: agent.monitors.critical,
    monitorsUnknown: agent.monitors.unknown,
  };
}

export function groupMessage(group: GroupHealth): GroupHealthMessage {
  const { state, counts, ...rest } = group;
  return { ...rest, state: state === undefined ? Health.HEALTH_UNSPECIFIED : STATE[state], counts: { ...counts } };
}

export function heartbeatMessage({
  heartbeat,
  layers,
}: {
  readonly heartbeat: Heartbeat;
  readonly layers: readonly Layer[];
}): HeartbeatPolicyView {
  return {
    intervalMs: BigInt(heartbeat.intervalMs),
    silenceMs: BigInt(heartbeat.silenceMs),
    stoppedAfterMs: BigInt(heartbeat.stoppedAfterMs ?? 0),
    alert: heartbeat.alert,
    severity: heartbeat.severity,
    layers: layers.map(layerMessage),
  };
}

export function layerMessage({ says, overruled, ...layer }: Layer): PolicyLayer {
  const fields = [...says].map(([name, value]) => ({
    name,
    value: JSON.stringify(value),
    overruledBy: overruled.get(name) ?? '',
  }));
  return { ...layer, fields };
}

/** @param stale the line of its agent is not up */
export function monitorMessage(monitor: MonitorView, stale: boolean): MonitorState {
  const { since, state, ...rest } = monitor;
  return { ...rest, state: STATE[state], sinceUnixMs: unixMs(since), stale };
}

export function watchMessage({ kind, settings, overridden, ...watch }: WatchView): Watch {
  return {
    ...watch,
    kind: kind === 'rule' ? WatchKind.WATCH_KIND_RULE : WatchKind.WATCH_KIND_MONITOR,
    settingsJson: JSON.stringify(settings),
    overridden: [...overridden],
  };
}
