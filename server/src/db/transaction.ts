import { Kysely, PostgresDialect } from 'kysely';
import type { Pool, PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Query } from './query.ts';
import type { Schema } from './schema.ts';
import { isPassing, isStoreUnavailable, storeErrors } from './store-errors.ts';

/** A transaction that is open. Both ways to speak use the one connection; one statement at a time. */
export interface Tx {
  /** Statements prepared by name: for the hot paths. */
  readonly query: Query;
  /** For everything else. */
  readonly db: Kysely<Schema>;
  /** Called once it is committed, in the order of registration, and never otherwise. Must not throw. */
  afterCommit(then: () => void): void;
}

/** What a transaction throws when it saw that another one was faster, and is to be made again. */
export class Overtaken extends Error {}

const TRIES = 4;

/**
 * Runs `work` in a transaction: all of it, or nothing. It is made again from the beginning when it was the victim of a deadlock or
 * `Overtaken`, so it must change nothing but the database.
 * @throws OpenlineError STORE_UNAVAILABLE; what `work` throws
 */
export async function inTransaction<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await storeErrors(once(pool, work));
    } catch (error) {
      if (!(error instanceof Overtaken || isPassing(error)) || tries === TRIES) throw error;
    }
  }
}

async function once<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  const committed: (() => void)[] = [];
  try {
    await client.query('begin');
    const result = await work(txOn(client, committed));
    const { command } = await client.query('commit');
    // PostgreSQL answers so when a statement had failed and its error was swallowed.
    if (command !== 'COMMIT') throw new Error('the transaction was rolled back');
    client.release();
    for (const then of committed) then();
    return result;
  } catch (error) {
    // To be closed is to be rolled back: it may wait for an answer still, or be one to a server that only reads since a failover.
    if (isStoreUnavailable(error)) {
      client.release(true);
      throw error;
    }
    await client.query('rollback').then(
      () => client.release(),
      // Nobody knows what state it is in.
      (broken: Error) => client.release(broken),
    );
    throw error;
  }
}

function txOn(client: PoolClient, committed: (() => void)[]): Tx {
  let db: Kysely<Schema> | undefined;
  return {
    query: <Row extends QueryResultRow>(
      statement: QueryConfig | string,
      values?: readonly unknown[],
    ): Promise<QueryResult<Row>> => client.query<Row>(statement, values === undefined ? undefined : [...values]),
    get db() {
      db ??= kyselyOn(client);
      return db;
    },
    afterCommit: (then) => void committed.push(then),
  };
}

/** kysely lends itself a connection for each statement; here it is always the same one. */
function kyselyOn(client: PoolClient): Kysely<Schema> {
  const lent = { query: client.query.bind(client), release() {} };
  return new Kysely<Schema>({
    dialect: new PostgresDialect({ pool: { connect: async () => lent, end: async () => {}, options: {} } }),
  });
}
