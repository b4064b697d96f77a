import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listenWhileLent, withoutBroken } from './pool.ts';
import { withTestDatabase } from './testing.ts';
import { inTransaction } from './transaction.ts';

const db = withTestDatabase();

/** Another pool on the same database. */
function anotherPool(config: pg.PoolConfig): pg.Pool {
  const { password } = db.pool.options; // which is not copied with the others
  const pool = new pg.Pool({ ...db.pool.options, password, ...config });
  // The database is dropped while it is open.
  pool.on('error', () => {});
  listenWhileLent(pool);
  onTestFinished(() => pool.end());
  return pool;
}

it('a connection that breaks while it is lent, between two queries, fails the next query and nothing else', async () => {
  const borrowed = await db.pool.connect();
  const { rows } = await borrowed.query<{ pid: number }>('select pg_backend_pid() as pid');
  const ended = new Promise((resolve) => borrowed.once('end', resolve));
  await db.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
  await ended;
  await expect(borrowed.query('select 1')).rejects.toThrow();
  borrowed.release(true);
  expect((await db.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});

describe('a connection that is of no use any more is not lent again', () => {
  /** As after a failover: who is connected from before is connected to a server that only reads; who comes now is not. */
  async function afterFailover(): Promise<pg.Pool> {
    const { rows } = await db.pool.query<{ name: string }>('select current_database() as name');
    const setting = `alter database ${rows[0]?.name} set default_transaction_read_only`;
    await db.pool.query(`${setting} = on`);
    const pool = anotherPool({ max: 1 });
    await pool.query('select 1');
    await db.pool.query(`${setting} = off`);
    return pool;
  }
  const write = `update agents set name = '' where false`;

  it('by a transaction that learned that its server only reads', async () => {
    const pool = await afterFailover();
    const once = () => inTransaction(pool, ({ query }) => query(write));
    await expect(once()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await once();
  });

  it('by kysely, in a transaction and without', async () => {
    for (const begin of ['transaction', 'statement'] as const) {
      const kysely = new Kysely({ dialect: new PostgresDialect({ pool: withoutBroken(await afterFailover()) }) });
      const once = () =>
        begin === 'statement'
          ? sql.raw(write).execute(kysely)
          : kysely.transaction().execute((tx) => sql.raw(write).execute(tx));
      await expect(once()).rejects.toThrow('read-only');
      await once();
    }
  });

  it('by kysely, while it waits for the answer to what was given up', async () => {
    const pool = anotherPool({ max: 1, query_timeout: 300 });
    const kysely = new Kysely({ dialect: new PostgresDialect({ pool: withoutBroken(pool) }) });
    await expect(sql`select pg_sleep(30)`.execute(kysely)).rejects.toThrow('timeout');
    expect((await sql`select 1 as one`.execute(kysely)).rows).toEqual([{ one: 1 }]);
  });
});

it('where stricter isolation is the default, what lost against another transaction is done again', async () => {
  const { rows } = await db.pool.query<{ name: string }>('select current_database() as name');
  await db.pool.query(`insert into agents (id, name, enrolled_with) values ('a', 'a', '')`);
  await db.pool.query(`alter database ${rows[0]?.name} set default_transaction_isolation = serializable`);
  const pool = anotherPool({ max: 2 });
  let tries = 0;
  await inTransaction(pool, async ({ query }) => {
    await query(`select epoch from agents`);
    if (tries++ === 0) await pool.query(`update agents set epoch = epoch + 1`);
    await query(`update agents set epoch = epoch + 10`);
  });
  expect((await pool.query('select epoch::int from agents')).rows).toEqual([{ epoch: 11 }]);
  expect(tries).toBe(2);
});
