import { type Kysely, sql } from 'kysely';

/** What the process of a dispatch saw. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table dispatches add column view text not null default ''`.execute(db);
}
