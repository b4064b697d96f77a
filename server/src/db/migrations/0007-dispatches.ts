import { type Kysely, sql } from 'kysely';

/**
 * Looking up its run for each dispatch took half of the time in which a run is stored. One statement inserts both, and one deletes both
 * (run-store.ts): docs/adr/0019.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table dispatches drop constraint dispatches_run_id_fkey`.execute(db);
}
