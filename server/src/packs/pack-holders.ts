import { type Kysely, sql } from 'kysely';
import type { Schema } from '../db/schema.ts';

export interface PackHolders {
  readonly connectedAgents: number;
  /** Of the connected agents: how many hold the pack ready, and how many refused it. Key: the digest as hexadecimal. */
  readonly byDigest: ReadonlyMap<string, { readonly ready: number; readonly refused: number }>;
}

/** How far the packs have come among the connected agents. */
export async function readPackHolders(db: Kysely<Schema>): Promise<PackHolders> {
  const connected = await db
    .selectFrom('agents')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('online', '=', true)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow();
  const rows = await db
    .selectFrom('agent_packs')
    .innerJoin('agents', 'agents.id', 'agent_packs.agent_id')
    .select([
      'agent_packs.digest',
      sql<number>`count(*) filter (where agent_packs.ready)`.as('ready'),
      sql<number>`count(*) filter (where not agent_packs.ready and agent_packs.reason_code <> '')`.as('refused'),
    ])
    .where('agents.online', '=', true)
    .where('agents.revoked_at', 'is', null)
    .groupBy('agent_packs.digest')
    .execute();
  return {
    connectedAgents: Number(connected.count),
    byDigest: new Map(
      rows.map((row) => [row.digest.toString('hex'), { ready: Number(row.ready), refused: Number(row.refused) }]),
    ),
  };
}
