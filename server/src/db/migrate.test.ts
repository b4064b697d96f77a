import { type Kysely, sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { MIGRATIONS, migrate } from './migrate.ts';
import { withTestDatabase } from './testing.ts';

describe('migrations', () => {
  const db = withTestDatabase();
  const nothing = async () => {};

  it('change nothing the second time', async () => {
    expect(await migrate(db.pool)).toEqual({ applied: [] });
  });

  it('apply what is new, once, though two replicas start together', async () => {
    const next = { ...MIGRATIONS, '9998-next': { up: nothing } };
    const applied = await Promise.all([migrate(db.pool, next), migrate(db.pool, next)]);
    expect(applied.flatMap((one) => one.applied)).toEqual(['9998-next']);
  });

  it('refuse a database that a newer build has migrated, and say which build it takes', async () => {
    await migrate(db.pool, { ...MIGRATIONS, '9999-from-the-future': { up: nothing } });
    await expect(migrate(db.pool)).rejects.toMatchObject({
      code: 'DATABASE_FAILED',
      message: expect.stringContaining('9999-from-the-future'),
    });
  });

  it('that fail change nothing', async () => {
    const broken = {
      ...MIGRATIONS,
      '9998-half': {
        up: async (kysely: Kysely<unknown>) => {
          await sql`create table half (id int)`.execute(kysely);
          throw new Error('out of luck');
        },
      },
    };
    await expect(migrate(db.pool, broken)).rejects.toMatchObject({ code: 'DATABASE_FAILED' });
    const { rows } = await db.pool.query(`select to_regclass('half') as half`);
    expect(rows).toEqual([{ half: null }]);
  });
});

describe('the pool', () => {
  const db = withTestDatabase();

  it('reads bigint and numeric as numbers and timestamptz as dates', async () => {
    const { rows } = await db.pool.query(
      `select 9007199254740991::bigint as b, 1.5::numeric as n, to_timestamp(0) as t`,
    );
    expect(rows).toEqual([{ b: Number.MAX_SAFE_INTEGER, n: 1.5, t: new Date(0) }]);
  });
});
