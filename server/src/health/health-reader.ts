import * as z from 'zod';
import type { AgentService } from '../agents/agents.ts';
import { pageTokenOf, readPageToken } from '../page-token.ts';
import type { HealthGroupSpec } from './health-group.ts';
import { ALL, type Line } from './line.ts';
import type { LineService } from './line-service.ts';
import type { IllCounts, MonitorReader } from './monitor-reader.ts';
import { type Member, rollUp, STATES, type State, worseOf } from './rollup.ts';

/** What an agent is counted as: each once. */
export const BUCKETS = [...STATES, 'unreachable', 'maintenance'] as const;
export type Bucket = (typeof BUCKETS)[number];
export type Counts = Readonly<Record<Bucket, number>>;

export interface AgentHealth {
  readonly id: string;
  readonly name: string;
  /** While its line is not up: as last known. */
  readonly state: State;
  readonly line: 'up' | 'away' | 'stopped' | 'lost';
  /** When it was last heard; undefined while it is up. */
  readonly lineSince: Date | undefined;
  /** While it is lost. */
  readonly diagnosis: string;
  readonly reason: string;
  readonly maintenanceId: string;
  /** It is not there, and nobody minds: it was stopped, its policy wants no alert, or its node was removed. */
  readonly excused: boolean;
  readonly monitors: IllCounts;
}

export interface GroupHealth {
  /** Of the HealthGroup; empty: the whole fleet. */
  readonly group: string;
  readonly label: string;
  readonly value: string;
  readonly state: State | undefined;
  readonly rollup: HealthGroupSpec['rollup'];
  readonly percent: number;
  readonly counts: Counts;
  readonly outage: boolean;
}

export interface HealthView {
  readonly fleet: GroupHealth;
  readonly groups: readonly GroupHealth[];
  readonly agents: readonly AgentHealth[];
}

export interface HealthReader {
  /** Everything, as of now. */
  view(): Promise<HealthView>;
  /** The worst first. @throws OpenlineError TARGETS_INVALID, REQUEST_INVALID */
  agents(query: {
    readonly targets: string;
    readonly states: readonly Bucket[];
    readonly limit: number;
    readonly pageToken: string;
  }): Promise<{ agents: readonly AgentHealth[]; nextPageToken: string }>;
  /** @returns undefined: it was never connected */
  agent(agentId: string): Promise<AgentHealth | undefined>;
  /** Ids of the agents that are selected; undefined: all. */
  selected(targets: string): Promise<ReadonlySet<string> | undefined>;
}

export interface HealthReaderDeps {
  readonly lines: Pick<LineService, 'all' | 'get' | 'problemsOf' | 'outageOf'>;
  readonly monitors: Pick<MonitorReader, 'ill'>;
  readonly agents: Pick<AgentService, 'candidates'>;
  maintenanceOf(agentIds: readonly string[]): ReadonlyMap<string, string>;
  groups(): readonly { readonly name: string; readonly spec: HealthGroupSpec }[];
}

const NONE: IllCounts = { warning: 0, critical: 0, unknown: 0 };
const FLEET = { rollup: 'worst', percent: 0, unreachable: 'critical' } as const;

export function createHealthReader(deps: HealthReaderDeps): HealthReader {
  const { lines, monitors, agents } = deps;

  function healthOf(line: Line, ill: IllCounts, maintenanceId: string): AgentHealth {
    const { agent, state } = line;
    const problems = lines.problemsOf(agent.id);
    const worst = (['critical', 'warning', 'unknown'] as const).find((each) => ill[each] > 0) ?? 'healthy';
    const health = worseOf(worst, problems.length > 0 ? 'critical' : 'healthy');
    const reasons = [lineReason(line), ...problems.map(({ problem }) => problem), illReason(ill)];
    return {
      id: agent.id,
      name: agent.name,
      state: health,
      line: lineOf(line),
      lineSince: state.kind === 'up' ? undefined : new Date(state.loss.sinceUnixMs),
      diagnosis: state.kind === 'down' ? state.verdict : '',
      reason: reasons.filter((reason) => reason !== '').join('; '),
      maintenanceId,
      excused: lineOf(line) === 'stopped' || (state.kind === 'down' && state.cover.kind === 'none'),
      monitors: ill,
    };
  }

  async function all(): Promise<{ line: Line; health: AgentHealth }[]> {
    const ill = await monitors.ill();
    const known = [...lines.all()];
    const maintained = deps.maintenanceOf(known.map(({ agent }) => agent.id));
    return known.map((line) => {
      const { id } = line.agent;
      return { line, health: healthOf(line, ill.get(id) ?? NONE, maintained.get(id) ?? '') };
    });
  }

  async function selected(targets: string): Promise<ReadonlySet<string> | undefined> {
    if (targets === '') return undefined;
    return new Set((await agents.candidates(targets, [])).map(({ id }) => id));
  }

  return {
    selected,

    async view() {
      const known = await all();
      const byKey = new Map<string, AgentHealth[]>();
      for (const { line, health } of known) {
        for (const { key } of line.agent.groups) {
          const members = byKey.get(key) ?? [];
          byKey.set(key, members);
          members.push(health);
        }
      }
      const groups = deps.groups().flatMap(({ name, spec }) => {
        const prefix = `${spec.label}=`;
        return [...byKey]
          .filter(([key]) => key.startsWith(prefix))
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, members]): GroupHealth => {
            const { rollup, percent, label } = spec;
            return {
              group: name,
              label,
              value: key.slice(prefix.length),
              rollup,
              percent: rollup === 'percentage' ? percent : 0,
              state: rollUp(spec, members.map(memberOf)),
              counts: countsOf(members),
              outage: lines.outageOf(key) !== undefined,
            };
          });
      });
      const everyone = known.map(({ health }) => health);
      const fleet: GroupHealth = {
        group: '',
        label: '',
        value: '',
        rollup: 'worst',
        percent: 0,
        state: rollUp(FLEET, everyone.map(memberOf)),
        counts: countsOf(everyone),
        outage: lines.outageOf(ALL) !== undefined,
      };
      return { fleet, groups, agents: everyone };
    },

    async agents({ targets, states, limit, pageToken }) {
      const after = readPageToken(pageToken, SORTED_BY);
      const ids = await selected(targets);
      const found = (await all())
        .map(({ health }) => ({ health, rank: RANK[bucketOf(health)] }))
        .filter(({ health }) => ids === undefined || ids.has(health.id))
        .filter(({ health }) => states.length === 0 || states.includes(bucketOf(health)))
        .sort((a, b) => compare(keyOf(a), keyOf(b)))
        .filter((each) => after === undefined || compare(keyOf(each), after) > 0);
      const page = found.slice(0, limit);
      const last = page.at(-1);
      return {
        agents: page.map(({ health }) => health),
        nextPageToken: last === undefined || found.length <= limit ? '' : pageTokenOf(keyOf(last)),
      };
    },

    async agent(agentId) {
      const line = lines.get(agentId);
      if (line === undefined) return undefined;
      const ill = await monitors.ill();
      return healthOf(line, ill.get(agentId) ?? NONE, deps.maintenanceOf([agentId]).get(agentId) ?? '');
    },
  };
}

/** The worst first; what is in maintenance last. */
const RANK = {
  unreachable: 0,
  critical: 1,
  warning: 2,
  unknown: 3,
  healthy: 4,
  maintenance: 5,
} as const satisfies Record<Bucket, number>;

/** Its rank, name and id. */
const SORTED_BY = z.tuple([z.int(), z.string(), z.string()]);
type SortKey = Readonly<z.output<typeof SORTED_BY>>;

function keyOf({ health, rank }: { health: AgentHealth; rank: number }): SortKey {
  return [rank, health.name, health.id];
}

function compare([rank, ...names]: SortKey, [otherRank, ...others]: SortKey): number {
  if (rank !== otherRank) return rank - otherRank;
  const at = names.findIndex((name, i) => name !== others[i]);
  return at < 0 ? 0 : (names[at] ?? '') < (others[at] ?? '') ? -1 : 1;
}

export function bucketOf({ maintenanceId, line, state }: AgentHealth): Bucket {
  if (maintenanceId !== '') return 'maintenance';
  return line === 'lost' || line === 'stopped' ? 'unreachable' : state;
}

function memberOf({ state, line, maintenanceId, excused }: AgentHealth): Member {
  return { state, unreachable: line === 'lost', counts: maintenanceId === '' && !excused };
}

function countsOf(members: readonly AgentHealth[]): Counts {
  const counts = { healthy: 0, unknown: 0, warning: 0, critical: 0, unreachable: 0, maintenance: 0 };
  for (const member of members) counts[bucketOf(member)]++;
  return counts;
}

function lineOf({ state }: Line): AgentHealth['line'] {
  if (state.kind === 'up') return 'up';
  if (state.kind !== 'away') return 'lost';
  return state.loss.ended === 'stopped' ? 'stopped' : 'away';
}

const AWAY = {
  stopped: 'the agent was stopped',
  broken: 'its connection ended',
  silent: 'it fell silent',
  unseen: 'it has not come back since the server started',
} as const;

const LOST = {
  agent: 'the agent is down, its node is there',
  node: 'its node is down',
  network: 'the network to its node is down',
  stopped: 'the agent was stopped and has not come back',
  removed: 'its node was removed',
  unknown: 'its line is lost',
} as const;

function lineReason({ state }: Line): string {
  if (state.kind === 'up') return '';
  if (state.kind !== 'down') return AWAY[state.loss.ended];
  const { verdict, cover } = state;
  if (cover.kind !== 'outage') return LOST[verdict];
  return `${LOST[verdict]}; lost together with ${cover.key === ALL ? 'others' : `others of ${cover.key}`}`;
}

function illReason({ critical, warning, unknown }: IllCounts): string {
  const parts = [
    critical > 0 ? `${critical} critical` : '',
    warning > 0 ? `${warning} warning` : '',
    unknown > 0 ? `${unknown} unknown` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `monitors: ${parts.join(', ')}`;
}
