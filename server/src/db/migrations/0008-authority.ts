import { type Kysely, sql } from 'kysely';

/** Which agents a new authority has reached. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- Hash of the authority that the agent last said to trust and to have a certificate of; written while one replaces another.
    alter table agents add column authority text not null default '';
  `.execute(db);
}
