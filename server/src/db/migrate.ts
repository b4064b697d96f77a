import { OpenlineError } from '@openline/proto/errors';
import { Kysely, PostgresDialect } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import type pg from 'pg';
import * as initial from './migrations/0001-initial.ts';
import * as alerts from './migrations/0002-alerts.ts';
import * as notifications from './migrations/0003-notifications.ts';
import * as health from './migrations/0004-health.ts';
import * as nodes from './migrations/0005-nodes.ts';
import * as views from './migrations/0006-views.ts';
import * as dispatches from './migrations/0007-dispatches.ts';
import * as authority from './migrations/0008-authority.ts';
import * as parametersFrom from './migrations/0009-parameters-from.ts';
import * as targetsOfARun from './migrations/0010-targets-of-a-run.ts';
import * as valuesPutIn from './migrations/0011-values-put-in.ts';
import { isStoreUnavailable } from './store-errors.ts';

/** In order. Named here, not found in a folder: the server is one bundled file. A migration that was released never changes. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-alerts': alerts,
  '0003-notifications': notifications,
  '0004-health': health,
  '0005-nodes': nodes,
  '0006-views': views,
  '0007-dispatches': dispatches,
  '0008-authority': authority,
  '0009-parameters-from': parametersFrom,
  '0010-targets-of-a-run': targetsOfARun,
  '0011-values-put-in': valuesPutIn,
};
const TABLE = 'schema_migrations';

/**
 * Brings the schema to this build's, under a lock that other replicas wait for. Running it again changes nothing.
 * @param pool without a statement timeout: a migration may take long
 * @throws OpenlineError DATABASE_FAILED a newer build has migrated this database, or a migration failed (and changed nothing)
 */
export async function migrate(
  pool: pg.Pool,
  migrations: Readonly<Record<string, Migration>> = MIGRATIONS,
): Promise<{ applied: string[] }> {
  const kysely = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  await refuseNewer(pool, migrations);
  const migrator = new Migrator({
    db: kysely,
    provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) {
    if (isStoreUnavailable(error)) throw error;
    const which = results.find(({ status }) => status === 'Error')?.migrationName ?? 'the migrations';
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new OpenlineError('DATABASE_FAILED', `${which} failed: ${reason}`, { cause: error });
  }
  return { applied: results.map(({ migrationName }) => migrationName) };
}

async function refuseNewer(pool: pg.Pool, migrations: Readonly<Record<string, Migration>>): Promise<void> {
  const exists = await pool.query<{ found: boolean }>('select to_regclass($1) is not null as found', [TABLE]);
  if (!exists.rows[0]?.found) return;
  const { rows } = await pool.query<{ name: string }>(`select name from ${TABLE} order by name`);
  const unknown = rows.filter(({ name }) => !Object.hasOwn(migrations, name)).map(({ name }) => name);
  if (unknown.length === 0) return;
  throw new OpenlineError(
    'DATABASE_FAILED',
    `a newer build has migrated this database (${unknown.join(', ')}): run that build or a later one, or restore a backup from before`,
  );
}
