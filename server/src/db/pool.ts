import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg from 'pg';
import type { Logger } from '../telemetry/logger.ts';
import { isStoreUnavailable } from './store-errors.ts';

/** Half of the embedded PostgreSQL's connections; a replica on a shared one should not take more either. */
const POOL_SIZE = 20;

/** bigint and numeric as number: every one of ours stays below 2^53. */
const NUMBERS = new Set<number>([pg.types.builtins.INT8, pg.types.builtins.NUMERIC]);
export const columnTypes: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    NUMBERS.has(oid) && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format),
};

/** The pool that the server works with. Its errors, mapped by store-errors.ts, are those of each query. */
export function createPool(where: pg.PoolConfig, log: Logger): pg.Pool {
  const pool = new pg.Pool({
    ...where,
    max: POOL_SIZE,
    application_name: 'openline',
    // A new connection costs a login of several milliseconds: those that were needed once stay.
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: 30_000,
    // The server's end may be gone without a word: our own clock ends the wait.
    query_timeout: 35_000,
    idle_in_transaction_session_timeout: 30_000,
    types: columnTypes,
  });
  // Of idle connections; without a listener it would end the process. Whoever needs one next gets a new one or an error of its own.
  pool.on('error', (error) => log.warn({ reason: error.message }, 'an idle database connection was lost'));
  listenWhileLent(pool);
  return pool;
}

/**
 * While a connection is lent the pool does not listen to it, and one that breaks between two queries of its borrower would end the
 * process. The borrower's next query fails, and says so.
 */
export function listenWhileLent(pool: pg.Pool): void {
  pool.on('connect', (client) => client.on('error', () => {}));
}

/**
 * For kysely, which gives every connection back as if nothing had happened, as `pool.query` does not: one whose answer never came would be lent
 * again while it still waits, and one that a failover left on a server that only reads, for as long as that server is there.
 */
export function withoutBroken(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client: PostgresPoolClient = await pool.connect();
      let isBroken = false;
      function query<R>(statement: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>>;
      function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
      function query<R>(
        given: string | PostgresCursor<R>,
        parameters: readonly unknown[] = [],
      ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
        if (typeof given !== 'string') throw new Error('nobody asked for cursors');
        return client.query<R>(given, parameters).catch((error: unknown) => {
          isBroken ||= isStoreUnavailable(error);
          throw error;
        });
      }
      return { query, release: (destroy) => client.release(destroy === true || isBroken) };
    },
  };
}
