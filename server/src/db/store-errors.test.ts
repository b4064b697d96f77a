import { OpenlineError } from '@openline/proto/errors';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { storeErrors, violatedUnique } from './store-errors.ts';
import { withTestDatabase } from './testing.ts';

const mapped = (error: unknown) => storeErrors(Promise.reject(error)).catch((result: unknown) => result);

describe('an error of the database', () => {
  const db = withTestDatabase();

  it('is STORE_UNAVAILABLE when nobody listens there', async () => {
    const pool = new pg.Pool({ host: '127.0.0.1', port: 1, user: 'x' });
    await expect(storeErrors(pool.query('select 1'))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('is STORE_UNAVAILABLE when the connection is ended under a query', async () => {
    const client = await db.pool.connect();
    client.on('error', () => {});
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const underWay = storeErrors(client.query('select pg_sleep(10)'));
    await Promise.all([
      expect(underWay).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' }),
      db.pool.query('select pg_terminate_backend($1)', [rows[0].pid]),
    ]);
    await expect(storeErrors(client.query('select 1'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    client.release(true);
  });

  it('is STORE_UNAVAILABLE when it took too long', async () => {
    const client = await db.pool.connect();
    await client.query(`set statement_timeout = '10ms'`);
    await expect(storeErrors(client.query('select pg_sleep(10)'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    client.release(true);
  });

  it('is STORE_UNAVAILABLE when the pool is closed', async () => {
    const pool = new pg.Pool();
    await pool.end();
    await expect(storeErrors(pool.query('select 1'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });

  it.each(['53100', '53300', '58030', '08006', '57P01', '57P03'])(
    'is STORE_UNAVAILABLE for SQLSTATE %s',
    async (code) => {
      expect(await mapped(Object.assign(new Error('x'), { code }))).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    },
  );

  it('passes unchanged when the query itself was wrong', async () => {
    await expect(storeErrors(db.pool.query('select nonsense'))).rejects.toMatchObject({ code: '42703' });
    const own = new OpenlineError('RUN_UNKNOWN', 'x');
    expect(await mapped(own)).toBe(own);
  });

  it('names the unique index that was violated', async () => {
    await db.pool.query('create table t (a int constraint only_one unique); insert into t values (1)');
    const error = await db.pool.query('insert into t values (1)').catch((reason: unknown) => reason);
    expect(violatedUnique(error)).toBe('only_one');
    expect(violatedUnique(new Error('x'))).toBeUndefined();
  });
});
