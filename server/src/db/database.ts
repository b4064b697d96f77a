import type { Kysely } from 'kysely';
import type pg from 'pg';
import type { Config } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Schema } from './schema.ts';

export interface Database {
  readonly kysely: Kysely<Schema>;
  /** For what kysely does not do: LISTEN, advisory locks, unnest with typed arrays. */
  readonly pool: pg.Pool;
  /** Asks the database one thing. @throws OpenlineError STORE_UNAVAILABLE */
  ping(): Promise<void>;
  /** Closes the pool and, when it is ours, stops PostgreSQL. */
  close(): Promise<void>;
}

export interface DatabaseDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Opens the given PostgreSQL, or starts our own in `<dataDir>/postgres`, and migrates it.
 * @throws OpenlineError DATABASE_FAILED it cannot be used, or a newer build has migrated it
 * @throws OpenlineError DATA_DIR_IN_USE another server uses the data directory
 */
export async function openDatabase(
  _config: Pick<Config, 'dataDir' | 'databaseUrl'>,
  _deps: DatabaseDeps,
): Promise<Database> {
  throw new Error('not built yet');
}
