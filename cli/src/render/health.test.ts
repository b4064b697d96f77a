import {
  AgentHealth,
  Health,
  HeartbeatPolicyView,
  LineState,
  MonitorState,
  PolicyLayer,
  Watch,
} from '@openline/proto/operator-health';
import { describe, expect, it } from 'vitest';
import { agentHealthView, heartbeatView, monitorView, watchView } from '../views/health.ts';
import { renderAgentHealth, renderHealthChange, renderHeartbeat, renderMonitors, settingsText } from './health.ts';

const NOW = Date.UTC(2027, 0, 2, 12);
const ago = (seconds: number) => BigInt(NOW - seconds * 1000);
const screen = { isTTY: false, columns: 200, rows: 40, color: false };
const agent = (over: Partial<AgentHealth>) =>
  agentHealthView({ ...AgentHealth.create(), agentName: 'web-1', state: Health.HEALTH_HEALTHY, ...over });

describe('an agent', () => {
  it('whose line is lost is grey: what it is counted as, and what was last known', () => {
    const lost = agent({ line: LineState.LINE_STATE_LOST, lineSinceUnixMs: ago(90), reason: 'its node is down' });
    expect(renderAgentHealth([lost], screen, NOW).at(-1)).toMatch(
      /^web-1 +unreachable \(healthy\) +lost 1m30s ago +its node is down$/,
    );
    expect(renderHealthChange(lost, screen)).toBe('web-1 unreachable (healthy): its node is down');
  });

  it('that is there shows its state alone', () => {
    const up = agent({ line: LineState.LINE_STATE_UP });
    expect(renderAgentHealth([up], screen, NOW).at(-1)).toMatch(/^web-1 +healthy +up/);
  });

  it('is watched as its policies say, written as a file has it', () => {
    const fields = [
      { name: 'interval_ms', value: '60000', overruledBy: '' },
      { name: 'misses', value: '3', overruledBy: 'other' },
    ];
    const layers = [
      PolicyLayer.create({ name: 'slow', on: 'role=db', specificity: 'one term', reason: 'far', fields }),
    ];
    const heartbeat = HeartbeatPolicyView.create({ intervalMs: 60_000n, silenceMs: 182_000n, layers });
    expect(renderHeartbeat(heartbeatView(heartbeat) ?? expect.fail())).toEqual([
      'heartbeat:    every 1m; lost after 182s of silence; when it was stopped: never',
      'alert:        none',
      'because:',
      '  slow: on role=db (one term): far',
      '    interval = 1m',
      '    misses = 3, overruled by other',
    ]);
  });
});

describe('monitors', () => {
  const monitor = monitorView({
    ...MonitorState.create(),
    agentName: 'web-1',
    monitor: 'linux/disk',
    instance: '/var',
    state: Health.HEALTH_CRITICAL,
    sinceUnixMs: ago(5),
    reason: 'full',
    stale: true,
    resetPending: true,
  });

  it('of an agent that is away are what was last known, in parentheses', () => {
    expect(renderMonitors([monitor], true, screen, NOW).at(-1)).toMatch(
      /^web-1 +linux\/disk +\/var +\(critical\) +5s ago +full \(a reset waits\)$/,
    );
  });

  it('of one agent do not name it again', () => {
    expect(renderMonitors([monitor], false, screen, NOW)[0]).toMatch(/^MONITOR/);
  });

  it('have settings as an override writes them; what one says has a star', () => {
    const settings = { most: 90, every_ms: 60_000, 'threshold.within_ms': 90_500, delay_ms: 5 };
    const watch = Watch.create({
      name: 'linux/disk',
      settingsJson: JSON.stringify(settings),
      overridden: ['every_ms'],
    });
    expect(settingsText(watchView(watch))).toBe('most=90 every=1m* threshold.within=90500ms delay_ms=5');
  });
});
