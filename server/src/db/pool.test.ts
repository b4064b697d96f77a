import { expect, it } from 'vitest';
import { withTestDatabase } from './testing.ts';

const db = withTestDatabase();

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
