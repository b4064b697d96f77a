import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { systemClock } from '../clock.ts';
import { createLogger } from '../telemetry/logger.ts';
import type { Database } from './database.ts';
import { type Embedded, startEmbedded } from './embedded/embedded.ts';
import { migrate } from './migrate.ts';
import { createPool } from './pool.ts';
import type { Schema } from './schema.ts';

/** For subjects whose log lines nobody should read. */
export const silentLog = createLogger('error', { write: () => {} });

/** What a crash of the machine would lose is not what these tests are about. */
const SETTINGS = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB' };

/**
 * For a test file: one real PostgreSQL, and a fresh, migrated database for each test.
 *
 *     const db = withTestDatabase();
 *     it('…', async () => { await db.kysely.insertInto('agents')… });
 */
export function withTestDatabase(): Pick<Database, 'kysely' | 'pool'> {
  let directory = '';
  let postgres: Embedded | undefined;
  let admin: pg.Pool | undefined;
  let current: { kysely: Kysely<Schema>; pool: pg.Pool; name: string } | undefined;
  let count = 0;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'openline-test-'));
    chmodSync(directory, 0o711);
    const deps = { clock: systemClock, log: silentLog, onLost: () => {}, onBack: () => {} };
    postgres = await startEmbedded(directory, deps, SETTINGS);
    const template = new pg.Pool(postgres.address());
    await migrate(template);
    // A database that is copied must have no connections.
    await template.end();
    admin = new pg.Pool({ ...postgres.address(), database: 'postgres' });
    // `end` does not wait for the sockets, so a connection may still hear that PostgreSQL stops.
    admin.on('error', () => {});
  }, 60_000);

  beforeEach(async () => {
    const { address } = up(postgres);
    const name = `test_${++count}`;
    await up(admin).query(`create database ${name} template ${address().database} strategy file_copy`);
    const pool = createPool({ ...address(), database: name }, silentLog);
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
    await postgres?.close();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  return {
    get kysely() {
      return up(current).kysely;
    },
    get pool() {
      return up(current).pool;
    },
  };
}

function up<T>(thing: T | undefined): T {
  if (thing === undefined) throw new Error('the test database exists only while a test runs');
  return thing;
}
