import type { Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { isPassing, storeErrors } from './store-errors.ts';

/**
 * For the statements that are prepared by name, with arrays of columns. Each is a transaction of its own, so one that PostgreSQL chose as
 * the victim of a deadlock did nothing and is simply said again.
 * @throws OpenlineError STORE_UNAVAILABLE
 */
export type Query = <Row extends QueryResultRow>(
  statement: QueryConfig | string,
  values?: readonly unknown[],
) => Promise<QueryResult<Row>>;

const TRIES = 3;

export function createQuery(pool: Pool): Query {
  return async <Row extends QueryResultRow>(statement: QueryConfig | string, values?: readonly unknown[]) => {
    for (let tries = 1; ; tries++) {
      try {
        return await storeErrors(pool.query<Row>(statement, values === undefined ? undefined : [...values]));
      } catch (error) {
        if (!isPassing(error) || tries === TRIES) throw error;
      }
    }
  };
}
