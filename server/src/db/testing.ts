import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, inject } from 'vitest';
import { createLogger } from '../telemetry/logger.ts';
import type { Database } from './database.ts';
import type { Address } from './embedded/embedded.ts';
import { createPool } from './pool.ts';
import type { Schema } from './schema.ts';

/** For subjects whose log lines nobody should read. */
export const silentLog = createLogger('error', { write: () => {} });

/**
 * For a test file: a fresh, migrated database for each test, on the one real PostgreSQL of the run (testing-cluster.ts).
 *
 *     const db = withTestDatabase();
 *     it('…', async () => { await db.kysely.insertInto('agents')… });
 */
export function withTestDatabase(): Pick<Database, 'kysely' | 'pool'> {
  const prefix = `test_${randomUUID().replaceAll('-', '')}`;
  let template: Address | undefined;
  let admin: pg.Pool | undefined;
  let current: { kysely: Kysely<Schema>; pool: pg.Pool; name: string } | undefined;
  let count = 0;

  beforeAll(async () => {
    template = await askForTemplate();
    admin = new pg.Pool({ ...template, database: 'postgres', max: 1 });
    // `end` does not wait for the sockets, so a connection may still hear that PostgreSQL stops.
    admin.on('error', () => {});
  }, 60_000);

  beforeEach(async () => {
    const name = `${prefix}_${++count}`;
    await up(admin).query(`create database ${name} template ${up(template).database} strategy file_copy`);
    const pool = createPool({ ...up(template), database: name }, silentLog);
    current = { kysely: new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) }), pool, name };
  });

  afterEach(async () => {
    const { pool, name } = up(current);
    current = undefined;
    await pool.end();
    await up(admin).query(`drop database ${name} with (force)`);
  });

  afterAll(async () => {
    await admin?.end();
  });

  return {
    get kysely() {
      return up(current).kysely;
    },
    get pool() {
      return up(current).pool;
    },
  };
}

async function askForTemplate(): Promise<Address> {
  const answer = await fetch(inject('testCluster'));
  const text = await answer.text();
  if (!answer.ok) throw new Error(`the PostgreSQL for tests cannot be started: ${text}`);
  const { host, port, user, password, database }: Address = JSON.parse(text);
  return { host, port, user, password, database };
}

function up<T>(thing: T | undefined): T {
  if (thing === undefined) throw new Error('the test database exists only while a test runs');
  return thing;
}
