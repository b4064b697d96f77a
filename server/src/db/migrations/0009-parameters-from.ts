import { type Kysely, sql } from 'kysely';

/** Parameters that name a property of the target. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- By the name of a parameter: "label:KEY", "fact:KEY" or "name". null where a run has none, as nearly all.
    alter table runs add column parameters_from jsonb;
  `.execute(db);
}
