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
const OPEN = Object.values(STATES).filter((state) => state < FIRST_END);

/** Sets the gauges of what stands in the database. @returns takes the census; rejects while the database does not answer, and then they keep what they said */
export function createCensus({ db, packs, metrics }: CensusDeps): () => Promise<void> {
  /** What was shown and is gone says 0, rather than what it said last. */
  const versions = new Set<string>();
  const packNames = new Set<string>();

  async function countAgents(): Promise<void> {
    const rows = await db
      .selectFrom('agents')
      .select(['version', ({ fn }) => fn.countAll<number>().as('agents')])
      .where('revoked_at', 'is', null)
      .groupBy('version')
      .orderBy('agents', 'desc')
      .execute();
    const byVersion = new Map<string, number>(Array.from(versions, (version) => [version, 0]));
    let known = 0;
    for (const { version, agents } of rows) {
      const shown = versions.has(version) || versions.size < MOST_VERSIONS ? version : 'other';
      if (shown !== 'other') versions.add(shown);
      byVersion.set(shown, (byVersion.get(shown) ?? 0) + Number(agents));
      known += Number(agents);
    }
    metrics.agentsKnown.set(known);
    for (const [version, agents] of byVersion) metrics.agentsByVersion.with({ version }).set(agents);
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
