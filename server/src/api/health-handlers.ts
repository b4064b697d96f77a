import { OpenlineError } from '@openline/proto/errors';
import {
  Health,
  type HealthServiceService,
  type MonitorState,
  type WatchHealthResponse,
  WatchKind,
  type WatchServiceService,
} from '@openline/proto/operator-health';
import { z } from 'zod';
import type { AgentService } from '../agents/agents.ts';
import type { Attributes } from '../agents/selector.ts';
import { BUCKETS, type HealthReader } from '../health/health-reader.ts';
import type { HealthWatch } from '../health/health-watch.ts';
import type { LineService } from '../health/line-service.ts';
import type { MonitorReader, MonitorView } from '../health/monitor-reader.ts';
import type { Resets } from '../health/resets.ts';
import type { State } from '../health/rollup.ts';
import type { Policies } from '../policy/policies.ts';
import type { WatchReader } from '../policy/watch-reader.ts';
import { agentRef, name, pageLimit, readRequest, text } from './fields.ts';
import {
  agentMessage,
  groupMessage,
  heartbeatMessage,
  layerMessage,
  monitorMessage,
  watchMessage,
} from './health-messages.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface HealthDeps {
  readonly agents: Pick<AgentService, 'get'>;
  readonly health: {
    readonly reader: HealthReader;
    readonly watch: HealthWatch;
    readonly monitors: MonitorReader;
    readonly lines: Pick<LineService, 'get'>;
    readonly resets: Pick<Resets, 'request'>;
    readonly policies: Pick<Policies, 'heartbeatOf'>;
    readonly watches: WatchReader;
  };
}

const MAX_MONITORS = 1_000;
const targets = text(64 * 1024);
const pageToken = text(2_048);
const watchName = text(200);

const ListAgents = z.object({
  targets,
  states: z.array(z.enum(BUCKETS, `not one of ${BUCKETS.join(', ')}`)).max(10, 'more than 10'),
  limit: pageLimit(),
  pageToken,
});
const ByAgent = z.object({ agent: agentRef });
const Watch = z.object({ targets });
const state = z.number().transform((number, context): State => {
  const found = STATE_NAMES.get(number);
  if (found !== undefined) return found;
  context.addIssue({ code: 'custom', message: 'not a state of health' });
  return z.NEVER;
});
const STATE_NAMES = new Map<number, State>([
  [Health.HEALTH_HEALTHY, 'healthy'],
  [Health.HEALTH_UNKNOWN, 'unknown'],
  [Health.HEALTH_WARNING, 'warning'],
  [Health.HEALTH_CRITICAL, 'critical'],
]);
const ListMonitors = z.object({
  targets,
  states: z.array(state).max(10, 'more than 10'),
  monitor: watchName,
  limit: pageLimit(),
  pageToken,
});
const Reset = z.object({
  agent: agentRef,
  monitor: name('give pack/monitor', 200).refine((value) => value.split('/').length === 2, 'not pack/monitor'),
  instance: text(1_024),
});
const ListWatches = z.object({ kind: z.number(), agent: text(256), watch: watchName });
const Explain = z.object({ agent: agentRef, watch: name('give pack/rule or pack/monitor', 200) });

export function healthHandlers({ agents, health }: HealthDeps): Handlers<typeof HealthServiceService> {
  async function* watch(expression: string, signal: AbortSignal): AsyncIterable<WatchHealthResponse> {
    for await (const update of health.watch.watch(expression, signal)) {
      yield {
        snapshot: update.snapshot,
        complete: update.complete,
        fleet: groupMessage(update.fleet),
        groups: update.groups.map(groupMessage),
        agents: update.agents.map(agentMessage),
        removedAgents: [...update.removedAgents],
        removedGroups: [...update.removedGroups],
      };
    }
  }

  return {
    async getHealth() {
      const { fleet, groups } = await health.reader.view();
      return { fleet: groupMessage(fleet), groups: groups.map(groupMessage) };
    },
    async listAgentHealth(request) {
      const found = await health.reader.agents(readRequest(ListAgents, request));
      return { agents: found.agents.map(agentMessage), nextPageToken: found.nextPageToken };
    },
    async getAgentHealth(request) {
      const agent = await agents.get(readRequest(ByAgent, request).agent);
      const found = await health.reader.agent(agent.id);
      if (found === undefined)
        throw new OpenlineError('AGENT_UNKNOWN', `«${agent.name}» was never connected, or is revoked`);
      const line = health.lines.get(agent.id);
      const { monitors } = await health.monitors.list(
        { targets: `id=${agent.id}`, states: [], monitor: '' },
        { limit: MAX_MONITORS, pageToken: '' },
      );
      const evidence = line?.state.kind === 'down' || line?.state.kind === 'missed' ? line.state.evidence : undefined;
      return {
        agent: agentMessage(found),
        heartbeat: heartbeatMessage(health.policies.heartbeatOf(agent)),
        monitors: monitors.map((monitor) => withLine(monitor, health.lines)),
        evidence: [...(evidence?.notes ?? [])],
      };
    },
    watchHealth: (request, { signal }) => watch(readRequest(Watch, request).targets, signal),
  };
}

export function watchHandlers({ agents, health }: HealthDeps): Handlers<typeof WatchServiceService> {
  async function asked(ref: string): Promise<Attributes | undefined> {
    return ref === '' ? undefined : agents.get(ref);
  }

  return {
    async listMonitorStates(request) {
      const { limit, pageToken, ...filter } = readRequest(ListMonitors, request);
      const found = await health.monitors.list(filter, { limit, pageToken });
      // Only then: a state may outlast the monitor in its pack.
      if (found.monitors.length === 0) await health.watches.list({ kind: 'monitor', watch: filter.monitor }, undefined);
      return {
        monitors: found.monitors.map((monitor) => withLine(monitor, health.lines)),
        nextPageToken: found.nextPageToken,
      };
    },
    async resetMonitor(request, { principal }) {
      const { agent: ref, monitor: ofPack, instance } = readRequest(Reset, request);
      const agent = await agents.get(ref);
      const [pack = '', monitor = ''] = ofPack.split('/');
      await health.watches.list({ kind: 'monitor', watch: ofPack }, undefined); // refuses what is not there
      const done = await health.resets.request(principal, {
        agentId: agent.id,
        agentName: agent.name,
        pack,
        monitor,
        instance,
      });
      return { requested: done.requested, waiting: done.waiting, expiresUnixMs: unixMs(done.expiresAt) };
    },
    async listWatches(request) {
      const { kind, agent, watch } = readRequest(ListWatches, request);
      const wanted =
        kind === WatchKind.WATCH_KIND_RULE ? 'rule' : kind === WatchKind.WATCH_KIND_MONITOR ? 'monitor' : undefined;
      const found = await health.watches.list({ kind: wanted, watch }, await asked(agent));
      return { watches: found.map(watchMessage) };
    },
    async explainWatch(request) {
      const { agent, watch } = readRequest(Explain, request);
      const explained = await health.watches.explain(watch, await agents.get(agent));
      return {
        watch: watchMessage(explained.watch),
        packDefault: watchMessage(explained.packDefault),
        layers: explained.layers.map(layerMessage),
        problems: [...explained.problems],
        requirements: [...explained.requirements],
      };
    },
  };
}

function withLine(monitor: MonitorView, lines: Pick<LineService, 'get'>): MonitorState {
  return monitorMessage(monitor, lines.get(monitor.agentId)?.state.kind !== 'up');
}
