import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { OpenlineError } from '@openline/proto/errors';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../clock.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type Database, openDatabase } from '../database.ts';
import { silentLog } from '../testing.ts';
import { findBinaries } from './binaries.ts';
import { prepareCluster } from './cluster.ts';
import { findPostmaster, isAlive } from './postmaster.ts';
import { bringUp } from './start.ts';

// Real processes on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const asRoot = process.getuid?.() === 0;
const FIXTURE = join(import.meta.dirname, 'fixtures/opens-database.ts');

/** Where the whole way down may be entered by anybody, as a user other than root needs it. */
const openToUsers =
  asRoot &&
  spawnSync(process.execPath, ['-e', 'fs.readFileSync(process.argv[1])', FIXTURE], { uid: 1000, gid: 1000 }).status ===
    0;

/** A first start takes a second; most tests begin after it. */
let template = '';
beforeAll(async () => {
  template = mkdtempSync(join(tmpdir(), 'openline-embedded-'));
  chmodSync(template, 0o711);
  const config = { dataDir: template, databaseUrl: undefined };
  const database = await openDatabase(config, { log: silentLog, metrics: createMetrics() });
  await database.close();
}, 60_000);
afterAll(() => rmSync(template, { recursive: true, force: true }));

/** As if the server had been started and stopped before. */
const startedBefore = () => execFileSync('cp', ['-a', join(template, 'postgres'), dataDir]);

let dataDir = '';
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'openline-embedded-'));
  chmodSync(dataDir, 0o711);
});
afterEach(() => {
  // Whatever a failed test left running.
  const left = postmasterOf(dataDir);
  if (left) process.kill(left.pid, 'SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

const postmasterOf = (directory: string) => {
  const files = join(directory, 'postgres/data');
  return existsSync(files) ? findPostmaster(files) : undefined;
};

function postmasterHere(): number {
  const found = postmasterOf(dataDir);
  if (found === undefined) throw new Error('PostgreSQL does not run');
  return found.pid;
}

async function open(directory = dataDir) {
  const metrics = createMetrics();
  const database = await openDatabase({ dataDir: directory, databaseUrl: undefined }, { log: silentLog, metrics });
  onTestFinished(() => database.close());
  return { database, metrics };
}

/** Starts the fixture in a process of its own. */
async function openElsewhere(options: { uid?: number; gid?: number; directory?: string } = {}) {
  const { directory = dataDir, ...identity } = options;
  const child = spawn(process.execPath, [FIXTURE, directory], { ...identity, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const lines = createInterface(child.stdout);
  const [line] = await once(lines, 'line');
  return { child, said: JSON.parse(String(line)) };
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error('did not happen within 15 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const answers = (database: Database) =>
  database.ping().then(
    () => true,
    () => false,
  );

const remember = (database: Database, what: string) =>
  database.kysely
    .insertInto('audit')
    .values({ principal: 'test', action: 'test', object: what, details: '{}' })
    .execute();
const remembered = async (database: Database) =>
  (await database.kysely.selectFrom('audit').select('object').orderBy('seq').execute()).map((row) => row.object);

describe('the embedded PostgreSQL', () => {
  it('starts on an empty directory, keeps what it was given, and stops with the server', async () => {
    const first = await open();
    await remember(first.database, 'kept');
    const pid = postmasterHere();
    await first.database.close();
    expect(isAlive(pid)).toBe(false);

    const second = await open();
    expect(await remembered(second.database)).toEqual(['kept']);
  });

  it('listens on the loopback address only, and wants the password, which only its owner can read', async () => {
    startedBefore();
    const { database } = await open();
    const { rows } = await database.pool.query(
      `select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories', 'fsync', 'synchronous_commit') order by name`,
    );
    expect(Object.fromEntries(rows.map((row) => [row.name, row.setting]))).toEqual({
      fsync: 'on',
      listen_addresses: '127.0.0.1',
      synchronous_commit: 'on',
      unix_socket_directories: '.',
    });
    expect(statSync(join(dataDir, 'postgres/password')).mode & 0o777).toBe(0o600);
    const rules = await database.pool.query('select distinct auth_method from pg_hba_file_rules');
    expect(rules.rows).toEqual([{ auth_method: 'scram-sha-256' }]);
  });

  it('is reached over its socket, and over TCP where the path of a socket would be too long', async () => {
    startedBefore();
    const { database } = await open();
    const peer = 'select host(inet_client_addr()) as peer';
    expect((await database.pool.query(peer)).rows).toEqual([{ peer: null }]);
    const deep = join(dataDir, 'x'.repeat(100));
    const { database: below } = await open(deep);
    expect((await below.pool.query(peer)).rows).toEqual([{ peer: '127.0.0.1' }]);
    await below.close();
  });

  it('is taken over, running, by the server that follows one that was killed', async () => {
    startedBefore();
    const { child } = await openElsewhere();
    const pid = postmasterHere();
    await ended(child, 'SIGKILL');
    expect(isAlive(pid)).toBe(true);

    const { database } = await open();
    expect(postmasterHere()).toBe(pid);
    await remember(database, 'after');
    await database.close();
    expect(isAlive(pid)).toBe(false);
  });

  it('belongs to one server: a second one on the same directory is refused, and the first does not notice', async () => {
    startedBefore();
    const { database } = await open();
    const { said } = await openElsewhere();
    expect(said.failed).toContain('another server uses the database');
    await database.ping();
  });

  it('comes back after it was killed while the server runs; requests meanwhile fail with STORE_UNAVAILABLE', async () => {
    startedBefore();
    const { database, metrics } = await open();
    await remember(database, 'before');
    const underWay = database.pool.query('select pg_sleep(30)').catch((error: unknown) => error);
    const pid = postmasterHere();
    process.kill(pid, 'SIGKILL');
    expect(await underWay).toBeInstanceOf(Error);
    await eventually(() => !isAlive(pid));
    const failure = await database.ping().catch((error: unknown) => error);
    if (failure !== undefined) expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE' });

    await eventually(() => answers(database));
    expect(postmasterHere()).not.toBe(pid);
    expect(await remembered(database)).toEqual(['before']);
    await eventually(async () => (await metrics.render()).body.includes('openline_database_lost_total 1'));
  });

  it('comes back after one of its backends was killed, which resets it', async () => {
    startedBefore();
    const { database } = await open();
    const { rows } = await database.pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
    await eventually(() => answers(database));
    expect(await answers(database)).toBe(true);
  });

  it('is closed in good time also while it is away', async () => {
    startedBefore();
    const { database } = await open();
    process.kill(postmasterHere(), 'SIGKILL');
    await database.close();
    expect(postmasterOf(dataDir)).toBeUndefined();
  });

  it('starts though the lock file of a dead one names a process that is something else by now', async () => {
    startedBefore();
    const { database } = await open();
    await database.close();
    const lockFile = join(dataDir, 'postgres/data/postmaster.pid');
    writeFileSync(lockFile, `${process.pid}\n${dataDir}\n1\n5432\n\n127.0.0.1\n\nready\n`);
    const again = await open();
    await again.database.ping();
  });

  it('works below a folder that only its owner may enter', async () => {
    const closed = join(dataDir, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const { database } = await open(join(closed, 'server'));
    await database.ping();
    const status = readFileSync(`/proc/${postmasterOf(join(closed, 'server'))?.pid}/status`, 'utf8');
    // As root: PostgreSQL may look through directories, and nothing else.
    expect(status).toMatch(asRoot ? /^CapEff:\s0{15}4$/m : /^CapEff:\s0{16}$/m);
    await database.close();
  });

  it.runIf(openToUsers)('runs as nobody when the server is root, and as the user when it is not', async () => {
    startedBefore();
    await open();
    expect(statSync(`/proc/${postmasterHere()}`).uid).toBe(65_534);

    const directory = join(dataDir, 'of-a-user');
    mkdirSync(directory, { mode: 0o700 });
    chownSync(directory, 1000, 1000);
    const { child, said } = await openElsewhere({ uid: 1000, gid: 1000, directory });
    expect(said.failed).toBeUndefined();
    const pid = postmasterOf(directory)?.pid ?? 0;
    expect(statSync(`/proc/${pid}`).uid).toBe(1000);
    await ended(child, 'SIGTERM');
    expect(isAlive(pid)).toBe(false);
  });
});

describe('an embedded PostgreSQL that cannot start', () => {
  it('says why, when its directory holds something else, and touches nothing', async () => {
    mkdirSync(join(dataDir, 'postgres/data'), { recursive: true });
    writeFileSync(join(dataDir, 'postgres/data/precious'), 'x');
    const failure = await openDatabase(
      { dataDir, databaseUrl: undefined },
      { log: silentLog, metrics: createMetrics() },
    ).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OpenlineError);
    expect(failure).toMatchObject({ code: 'DATABASE_FAILED', message: expect.stringContaining('not a PostgreSQL') });
    expect(readdirSync(join(dataDir, 'postgres/data'))).toEqual(['precious']);
  });

  it('gives the reason from its log, and leaves no process', async () => {
    startedBefore();
    const { database } = await open();
    await database.close();
    const failure = await openDatabase(
      { dataDir, databaseUrl: undefined },
      { log: silentLog, metrics: createMetrics(), postgresSettings: { shared_buffers: 'plenty' } },
    ).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'DATABASE_FAILED', message: expect.stringContaining('shared_buffers') });
    expect(postmasterOf(dataDir)).toBeUndefined();
  });

  it('because it was killed says so, and where its log is', async () => {
    startedBefore();
    const cluster = await prepareCluster(join(dataDir, 'postgres'), findBinaries());
    const failure = await bringUp(cluster, {}, 0, {
      clock: systemClock,
      signal: new AbortController().signal,
      launched: (pid) => process.kill(pid, 'SIGKILL'),
    }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'DATABASE_FAILED',
      message: expect.stringMatching(/did not start: it was ended by SIGKILL \(log: .*postgres\.log\)$/),
    });
  });

  it('of another major version is refused, with what to do', async () => {
    startedBefore();
    const { database } = await open();
    await database.close();
    writeFileSync(join(dataDir, 'postgres/data/PG_VERSION'), '16\n');
    const failure = await openDatabase(
      { dataDir, databaseUrl: undefined },
      { log: silentLog, metrics: createMetrics() },
    ).catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: expect.stringMatching(/written by PostgreSQL 16.*dump it/) });
  });

  it('begins anew where an earlier first start was interrupted', async () => {
    mkdirSync(join(dataDir, 'postgres/data.new-999999'), { recursive: true });
    const { database } = await open();
    await database.ping();
    expect(readdirSync(join(dataDir, 'postgres')).filter((name) => name.startsWith('data'))).toEqual(['data']);
  });
});

describe('a database that is given', () => {
  it('is used and left running; every replica migrates it, once', async () => {
    startedBefore();
    const { database: owner } = await open();
    const { port, user, password } = owner.pool.options;
    await owner.pool.query('create database given');
    const secret = typeof password === 'string' ? password : '';
    const databaseUrl = `postgres://${user}:${encodeURIComponent(secret)}@127.0.0.1:${port}/given`;
    const deps = { log: silentLog, metrics: createMetrics() };
    const replicas = await Promise.all([
      openDatabase({ dataDir, databaseUrl }, deps),
      openDatabase({ dataDir, databaseUrl }, deps),
    ]);
    for (const replica of replicas) await replica.ping();
    for (const replica of replicas) await replica.close();
    await owner.ping();
  });

  it('that refuses the login stops the start, and the message has no password', async () => {
    startedBefore();
    const { database: owner } = await open();
    const { port, user } = owner.pool.options;
    const databaseUrl = `postgres://${user}:hunter2@127.0.0.1:${port}/openline`;
    const failure = await openDatabase({ dataDir, databaseUrl }, { log: silentLog, metrics: createMetrics() }).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'DATABASE_FAILED', message: expect.not.stringContaining('hunter2') });
  });
});

it('the programs are found where npm has put them', () => {
  expect(existsSync(findBinaries().postgres)).toBe(true);
});
