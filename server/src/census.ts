import { type Kysely, sql } from 'kysely';
import type { Schema } from './db/schema.ts';
import { readPackHolders } from './packs/pack-holders.ts';
import type { PackService } from './packs/pack-service.ts';
import { FIRST_END, STATES, stateOf } from './runs/dispatch.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface CensusDeps {
  readonly db: Kysely<Schema>;
  readonly packs: Pick<PackService, 'wanted'>;
  readonly metrics: Pick<Metrics, 'agentsKnown' | 'agentsByVersion' | 'packAgents' | 'dispatchesOpen'>;
}

/** Label values come from a closed set: an agent may say what it likes. */
const MOST_VERSIONS = 20;
const OTHER = 'other';
const OPEN = Object.values(STATES).filter((state) => state < FIRST_END);

/**
 * Agents by version, the rest as `other`. A version that is shown stays shown as long as any agent has it, and then makes room. Pure.
 * @param rows the most frequent first
 * @param before what was shown last
 */
export function countVersions(
  rows: readonly { readonly version: string; readonly agents: number }[],
  before: ReadonlyMap<string, number>,
): Map<string, number> {
  const counts = new Map<string, number>();
  let room = MOST_VERSIONS - rows.filter(({ version }) => before.has(version)).length;
  for (const { version, agents } of rows) {
    const isShown = before.has(version) || room-- > 0;
    const label = isShown ? version : OTHER;
    counts.set(label, (counts.get(label) ?? 0) + Number(agents));
  }
  return counts;
}

/** Sets the gauges of what stands in the database. @returns takes the census; rejects while the database does not answer, and then they keep what they said */
export function createCensus({ db, packs, metrics }: CensusDeps): () => Promise<void> {
  let versions: ReadonlyMap<string, number> = new Map();
  /** What was shown and is gone says 0, rather than what it said last. */
  const packNames = new Set<string>();

  async function countAgents(): Promise<void> {
    const rows = await db
      .selectFrom('agents')
      .select(['version', ({ fn }) => fn.countAll<number>().as('agents')])
      .where('revoked_at', 'is', null)
      .groupBy('version')
      .orderBy('agents', 'desc')
      .execute();
    const before = versions;
    versions = countVersions(rows, before);
    for (const version of before.keys()) if (!versions.has(version)) metrics.agentsByVersion.remove({ version });
    for (const [version, agents] of versions) metrics.agentsByVersion.with({ version }).set(agents);
    metrics.agentsKnown.set([...versions.values()].reduce((sum, agents) => sum + agents, 0));
  }

  async function countDispatches(): Promise<void> {
    // From the open runs, which are few: no index names the state of a dispatch.
    const { rows } = await sql<{ state: number; dispatches: string }>`
      select d.state, count(*) as dispatches from runs r join dispatches d on d.run_id = r.id
      where r.ended_at is null and d.state < ${FIRST_END} group by d.state`.execute(db);
    const byState = new Map(rows.map(({ state, dispatches }) => [state, Number(dispatches)]));
    for (const state of OPEN) metrics.dispatchesOpen.with({ state: stateOf(state) }).set(byState.get(state) ?? 0);
  }

  async function countPackHolders(): Promise<void> {
    const { connectedAgents, byDigest } = await readPackHolders(db);
    const counts = new Map(Array.from(packNames, (pack) => [pack, { ready: 0, refused: 0, missing: 0 }]));
    for (const { pack, digest } of packs.wanted()) {
      const { ready, refused } = byDigest.get(digest.toString('hex')) ?? { ready: 0, refused: 0 };
      counts.set(pack.name, { ready, refused, missing: Math.max(0, connectedAgents - ready - refused) });
      packNames.add(pack.name);
    }
    for (const [pack, states] of counts)
      for (const [state, agents] of Object.entries(states)) metrics.packAgents.with({ pack, state }).set(agents);
  }

  return async () => {
    await countAgents();
    await countDispatches();
    await countPackHolders();
  };
}
