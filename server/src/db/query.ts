import type { Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { storeErrors } from './store-errors.ts';

/** For the statements that are prepared by name, with arrays of columns. @throws OpenlineError STORE_UNAVAILABLE */
export type Query = <Row extends QueryResultRow>(
  statement: QueryConfig | string,
  values?: readonly unknown[],
) => Promise<QueryResult<Row>>;

export function createQuery(pool: Pool): Query {
  return <Row extends QueryResultRow>(statement: QueryConfig | string, values?: readonly unknown[]) =>
    storeErrors(pool.query<Row>(statement, values === undefined ? undefined : [...values]));
}
