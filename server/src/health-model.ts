import type { Kysely } from 'kysely';
import type { Pool } from 'pg';
import type { AgentService } from './agents/agents.ts';
import type { AlertDesk, MaintenanceOf } from './alerts/alerts.ts';
import type { AuditLog } from './audit/audit.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { newId } from './db/ids.ts';
import type { Schema } from './db/schema.ts';
import type { DeclaredRegistry } from './declared/registry.ts';
import { allGroups, healthGroupKind, lineGroupsOf } from './health/health-group.ts';
import { createHealthReader, type HealthReader } from './health/health-reader.ts';
import { createHealthWatch, type HealthWatch } from './health/health-watch.ts';
import { kubernetesNodes } from './health/kubernetes-nodes.ts';
import { createLineService, type LineService } from './health/line-service.ts';
import { createLineStore } from './health/line-store.ts';
import { createMonitorReader, type MonitorReader } from './health/monitor-reader.ts';
import { createProber } from './health/probes.ts';
import { createResets, type Resets } from './health/resets.ts';
import type { ClusterApi } from './kubernetes/cluster-api.ts';
import type { MaintenanceService } from './maintenance/maintenance.ts';
import { createMaintenanceService } from './maintenance/maintenance-service.ts';
import { createMaintenanceStore, recordSuppressed } from './maintenance/maintenance-store.ts';
import { maintenanceWindowKind } from './maintenance/window.ts';
import type { PackService } from './packs/pack-service.ts';
import { checkOverrides } from './policy/check-overrides.ts';
import { heartbeatPolicyKind } from './policy/heartbeat-policy.ts';
import { overrideKind } from './policy/override.ts';
import { createPolicies, type Policies } from './policy/policies.ts';
import { createWatchReader, type WatchReader } from './policy/watch-reader.ts';
import type { Sessions } from './sessions/sessions.ts';
import type { LineWatcher } from './sessions/watcher.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface HealthModelDeps {
  readonly pool: Pool;
  readonly db: Kysely<Schema>;
  readonly registry: DeclaredRegistry;
  readonly packs: Pick<PackService, 'wanted'>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether the database answers. */
  ping(): Promise<void>;
  /** Of the cluster that this process runs in; undefined: it runs in none. */
  readonly cluster: ClusterApi | undefined;
}

type HealthModelConfig = Pick<
  Config,
  | 'heartbeatIntervalMs'
  | 'offlineAfterMs'
  | 'stoppedAfterMs'
  | 'lineSettleMs'
  | 'lineGraceMs'
  | 'lineStorm'
  | 'lineProbes'
  | 'groupLabels'
  | 'kubernetesCluster'
  | 'historyDays'
>;

/** What holds on agents, how they are, and when nobody is to be told. */
export interface HealthModel {
  readonly policies: Policies;
  /** Told of lines from the moment the model has started. */
  readonly watcher: LineWatcher;
  readonly maintenanceOf: MaintenanceOf;
  /** Once what is declared is loaded, and before the first agent is let in. */
  start(parts: {
    readonly desk: AlertDesk;
    readonly agents: AgentService;
    readonly sessions: Sessions;
  }): Promise<RunningHealthModel>;
}

export interface RunningHealthModel {
  readonly reader: HealthReader;
  readonly watch: HealthWatch;
  readonly monitors: MonitorReader;
  readonly lines: LineService;
  readonly resets: Resets;
  readonly policies: Policies;
  readonly watches: WatchReader;
  readonly maintenance: MaintenanceService;
  /** Revoked or deleted. */
  agentGone(agentId: string): void;
  /** Of some agent: other overrides, policies and groups may hold on it. Those of all are looked at anew, once for many such changes. */
  labelsChanged(): void;
  /** Sets the gauges. */
  census(): Promise<void>;
  stop(): Promise<void>;
}

const LOOK_TIMEOUT_MS = 2_000;
const PAGE = 500;
const DAY_MS = 24 * 3600_000;
const NOTHING = { tcp: 'skipped', icmp: 'skipped', node: 'skipped', shared: false } as const;

/** Wires these domains together. */
export function createHealthModel(deps: HealthModelDeps, config: HealthModelConfig): HealthModel {
  const { pool, registry, packs, audit, clock, log, metrics } = deps;
  const overrides = registry.register({ ...overrideKind, saving: (changes) => checkOverrides(packs, changes) });
  const heartbeats = registry.register(heartbeatPolicyKind);
  const healthGroups = registry.register(healthGroupKind);
  const windows = registry.register(maintenanceWindowKind);
  const policies = createPolicies(
    { overrides, heartbeats },
    {
      intervalMs: config.heartbeatIntervalMs,
      silenceMs: config.offlineAfterMs,
      stoppedAfterMs: config.stoppedAfterMs,
    },
  );
  const groups = () => allGroups(healthGroups.list(), config.groupLabels);
  let lines: LineService | undefined;
  let maintenance: MaintenanceService | undefined;

  return {
    policies,
    watcher: {
      opened(agent, policy) {
        maintenance?.hello(agent);
        lines?.opened(agent, policy);
      },
      closed: (agentId, ended) => lines?.closed(agentId, ended),
      heartbeat: (agentId, heartbeat) => lines?.heartbeat(agentId, heartbeat),
    },
    maintenanceOf: async (agentIds) => maintenance?.of(agentIds) ?? new Map(),

    async start({ desk, agents, sessions }) {
      desk.onChanges(recordSuppressed);
      const maintained = await createMaintenanceService(
        { pool, store: createMaintenanceStore(pool), agents, windows, desk, audit, clock, newId, log },
        { historyMs: config.historyDays * DAY_MS },
      );
      maintenance = maintained;
      const lineStore = createLineStore(pool, config.kubernetesCluster);
      const prober = config.lineProbes
        ? createProber(kubernetesNodes(deps.cluster), { timeoutMs: LOOK_TIMEOUT_MS })
        : { look: async () => ({ ...NOTHING, notes: ['its node was not looked at: lineProbes is off'] }) };
      const watched = await createLineService(
        {
          pool,
          store: lineStore,
          desk,
          prober,
          policyOf: (agent) => policies.of(agent),
          groupsOf: (agent) => lineGroupsOf(groups(), agent, config.lineStorm),
          inMaintenance: (agentId) => maintained.of([agentId]).has(agentId),
          ping: deps.ping,
          clock,
          log,
          alertRaised: (diagnosis) => metrics.lineAlerts.with({ diagnosis }).inc(),
        },
        { settleMs: config.lineSettleMs, graceMs: config.lineGraceMs },
      );
      lines = watched;
      maintained.onChange((change) => watched.maintenance(change));

      const refresh = createRefresh(async () => {
        for (let afterId = ''; ; ) {
          const page = (await lineStore.known(afterId, PAGE)).map(({ agent }) => agent);
          watched.changed(page);
          sessions.policiesChanged(page);
          const last = page.at(-1);
          if (last === undefined || page.length < PAGE) return;
          afterId = last.id;
        }
      }, clock);
      policies.onChange(refresh.ask);
      healthGroups.onChange(refresh.ask);

      const monitors = createMonitorReader({ db: deps.db, pool });
      const reader = createHealthReader({
        lines: watched,
        monitors,
        agents,
        maintenanceOf: (agentIds) => maintained.of(agentIds),
        groups,
      });
      const resets = createResets({ pool, lines: sessions, audit, clock, newId, log });
      return {
        reader,
        watch: createHealthWatch({ reader, clock, onFailure: () => {} }),
        monitors,
        lines: watched,
        resets,
        policies,
        watches: createWatchReader({ packs, policies }),
        maintenance: maintained,
        agentGone: (agentId) => watched.gone(agentId),
        labelsChanged: refresh.ask,
        async census() {
          const { fleet } = await reader.view();
          for (const [state, count] of Object.entries(fleet.counts)) metrics.agentsByHealth.with({ state }).set(count);
        },
        async stop() {
          refresh.stop();
          resets.stop();
          maintained.stop();
          await watched.stop();
        },
      };
    },
  };
}

const RETRY_MS = 2_000;

/** Does something again when it was asked for meanwhile, and until it has succeeded. */
function createRefresh(work: () => Promise<void>, clock: Pick<Clock, 'sleep'>): { ask(): void; stop(): void } {
  let wanted = false;
  let running = false;
  let stopped = false;
  const run = async () => {
    running = true;
    while (wanted && !stopped) {
      wanted = false;
      await work().catch(async () => {
        wanted = true;
        await clock.sleep(RETRY_MS);
      });
    }
    running = false;
  };
  return {
    ask() {
      wanted = true;
      if (!running) void run();
    },
    stop() {
      stopped = true;
    },
  };
}
