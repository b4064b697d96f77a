import { type Kysely, sql } from 'kysely';

/** With which values of its own each target ran. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- By the name of a parameter, as text. null where the run names no property of its targets, as nearly all, and where the agent has not said it.
    alter table dispatches add column parameters_from jsonb;
  `.execute(db);
}
