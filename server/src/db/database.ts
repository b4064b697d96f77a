import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { makeDirectory } from '@openline/proto/make-directory';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Embedded, startEmbedded } from './embedded/embedded.ts';
import { migrate } from './migrate.ts';
import { columnTypes, createPool, listenWhileLent, withoutBroken } from './pool.ts';
import type { Schema } from './schema.ts';
import { isStoreUnavailable, storeErrors } from './store-errors.ts';

export interface Database {
  readonly kysely: Kysely<Schema>;
  /** For what kysely does not do: LISTEN, advisory locks, unnest with typed arrays. */
  readonly pool: pg.Pool;
  /** Asks whether it answers, and takes writes. @throws OpenlineError STORE_UNAVAILABLE */
  ping(): Promise<void>;
  /** Closes the pool and, when it is ours, stops PostgreSQL. */
  close(): Promise<void>;
}

export interface DatabaseDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** Of the embedded PostgreSQL, in addition to ours; for tests. */
  readonly postgresSettings?: Readonly<Record<string, string>>;
}

/** A given database may come up beside us. */
const WAIT_FOR_GIVEN_MS = 30_000;
const CLOSE_POOL_MS = 3_000;

/**
 * Opens the given PostgreSQL, or starts our own in `<dataDir>/postgres`, and migrates it.
 * @throws OpenlineError DATABASE_FAILED it cannot be used, or a newer build has migrated it
 * @throws OpenlineError DATA_DIR_IN_USE another server uses the embedded PostgreSQL of this data directory
 */
export async function openDatabase(
  { dataDir, databaseUrl }: Pick<Config, 'dataDir' | 'databaseUrl'>,
  { log, metrics, clock = systemClock, postgresSettings }: DatabaseDeps,
): Promise<Database> {
  const sinceMs = clock.nowMs();
  let embedded: Embedded | undefined;
  let pool: pg.Pool | undefined;
  try {
    if (databaseUrl === undefined) {
      makeDataDir(dataDir);
      embedded = await startEmbedded(
        join(dataDir, 'postgres'),
        {
          clock,
          log,
          onLost: () => metrics.databaseUp.set(0),
          onBack({ host, port }) {
            if (pool) Object.assign(pool.options, { host, port });
            metrics.databaseLost.inc();
            metrics.databaseUp.set(1);
          },
        },
        postgresSettings,
      );
    }
    const where = embedded ? embedded.address() : { connectionString: databaseUrl };
    await migrateOnce(where, { log, clock, waitMs: embedded ? 5_000 : WAIT_FOR_GIVEN_MS });
    pool = createPool(where, log);
    const opened = finish(pool, embedded, metrics, clock);
    log.info(
      { embedded: embedded !== undefined, adopted: embedded?.adopted, ms: Math.round(clock.nowMs() - sinceMs) },
      'the database is open',
    );
    return opened;
  } catch (error) {
    await embedded?.close();
    throw error;
  }
}

/** Others may pass through it (PostgreSQL may run as another user); each thing in it guards itself. */
function makeDataDir(dataDir: string): void {
  try {
    makeDirectory(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new OpenlineError('DATA_DIR_UNUSABLE', `the data directory cannot be made: ${reason}`, { cause });
  }
}

function finish(pool: pg.Pool, embedded: Embedded | undefined, metrics: Metrics, clock: Clock): Database {
  metrics.databaseUp.set(1);
  metrics.beforeScrape(() => {
    metrics.databaseConnections.with({ state: 'open' }).set(pool.totalCount);
    metrics.databaseConnections.with({ state: 'idle' }).set(pool.idleCount);
    metrics.databaseConnections.with({ state: 'waiting' }).set(pool.waitingCount);
  });
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: withoutBroken(pool) }) });
  let closed: Promise<void> | undefined;
  return {
    kysely,
    pool,
    async ping() {
      try {
        const { rows } = await storeErrors(
          pool.query<{ reads_only: boolean }>(`select current_setting('transaction_read_only') = 'on' as reads_only`),
        );
        if (rows[0]?.reads_only)
          throw new OpenlineError('STORE_UNAVAILABLE', 'the database only reads: it is a standby');
        metrics.databaseUp.set(1);
      } catch (error) {
        metrics.databaseUp.set(0);
        throw error;
      }
    },
    close() {
      closed ??= (async () => {
        // A query that hangs must not keep the server from stopping.
        const waited = new AbortController();
        await Promise.race([pool.end(), clock.sleep(CLOSE_POOL_MS, waited.signal)]);
        waited.abort();
        await embedded?.close();
      })();
      return closed;
    },
  };
}

async function migrateOnce(
  where: pg.PoolConfig,
  { log, clock, waitMs }: { log: Logger; clock: Clock; waitMs: number },
): Promise<void> {
  const pool = new pg.Pool({ ...where, max: 2, connectionTimeoutMillis: 5_000, types: columnTypes });
  pool.on('error', () => {});
  listenWhileLent(pool);
  const sinceMs = clock.nowMs();
  try {
    for (;;) {
      try {
        const { applied } = await migrate(pool);
        if (applied.length > 0) log.info({ applied }, 'the database was migrated');
        return;
      } catch (error) {
        if (error instanceof OpenlineError) throw error;
        const reason = error instanceof Error ? error.message || error.name : 'unknown';
        if (!isStoreUnavailable(error) || clock.nowMs() - sinceMs > waitMs) {
          throw new OpenlineError('DATABASE_FAILED', `the database cannot be used: ${reason}`, { cause: error });
        }
        log.warn({ reason }, 'the database does not answer yet');
        await clock.sleep(1_000);
      }
    }
  } finally {
    await pool.end();
  }
}
