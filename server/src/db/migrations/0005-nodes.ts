import { type Kysely, sql } from 'kysely';

/** Agents that have their identity from the node of a cluster. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- Both empty: it enrolled with a join token.
    alter table agents add column cluster text not null default '', add column node_uid text not null default '';
    create unique index agents_node on agents (cluster, node_uid) where node_uid <> '';
  `.execute(db);
}
