import { OpenlineError } from '@openline/proto/errors';
import pg from 'pg';
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { type Cluster, prepareCluster, SUPERUSER } from './cluster.ts';
import { bringUp, hostOf, type Running, signalTo, stop, trimLog } from './start.ts';

const DATABASE = 'openline';
/** Any number will do, as long as it never changes: whoever holds this lock is the one server of the data directory. */
const OWNER_LOCK = 5_723_001;
const OWNER_WITHIN_MS = 3_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
const LOG_CHECK_MS = 600_000;

export interface Address {
  /** An address, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** PostgreSQL in a folder of ours, kept running until `close`. */
export interface Embedded {
  /** Where it listens now: a restart may move it to another port. */
  address(): Address;
  /** Whether it ran before this process did. */
  readonly adopted: boolean;
  close(): Promise<void>;
}

export interface EmbeddedDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** The connection to it is gone; it is being brought back. */
  onLost(): void;
  onBack(address: Address): void;
  readonly binaries?: Binaries;
}

/**
 * Starts PostgreSQL in `directory`, or takes over the one that a killed server left running there.
 * @param settings of PostgreSQL, in addition to ours
 * @throws OpenlineError DATABASE_FAILED, DATA_DIR_IN_USE
 */
export async function startEmbedded(
  directory: string,
  deps: EmbeddedDeps,
  settings: Readonly<Record<string, string>> = {},
): Promise<Embedded> {
  const { clock, log } = deps;
  const cluster = await prepareCluster(directory, deps.binaries ?? findBinaries());
  const closing = new AbortController();
  // Whatever ends this process, an exit that can be seen takes PostgreSQL along.
  let ours: number | undefined;
  const onExit = () => ours !== undefined && signalTo(ours, 'SIGINT');
  process.once('exit', onExit);
  const bringUpDeps = {
    clock,
    signal: closing.signal,
    launched: (pid: number) => {
      ours = pid;
    },
  };
  let running: Running;
  let guard: pg.Client;
  try {
    running = await bringUp(cluster, settings, 0, bringUpDeps);
    guard = await claim(running);
  } catch (error) {
    const someoneElses = error instanceof OpenlineError && error.code === 'DATA_DIR_IN_USE';
    if (ours !== undefined && !someoneElses) await stop(ours, clock);
    process.off('exit', onExit);
    throw error;
  }
  ours = running.pid;
  const logCheck = setInterval(() => trimLog(cluster), LOG_CHECK_MS).unref();
  let recovery = Promise.resolve();
  watch(guard);

  const addressOf = ({ port }: Running): Address => ({ ...loginTo(cluster, port), database: DATABASE });

  /** Becomes the one server of this directory; the connection lives as long as PostgreSQL and we do. */
  async function claim(postmaster: Running): Promise<pg.Client> {
    const client = new pg.Client({
      ...loginTo(cluster, postmaster.port),
      database: 'postgres',
      application_name: 'openline guard',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    // Told of by 'end' as well; an 'error' nobody listens to would end the process.
    client.on('error', () => {});
    try {
      await client.connect();
      const sinceMs = clock.nowMs();
      const lock = `select pg_try_advisory_lock(${OWNER_LOCK}) as ours`;
      while (!(await client.query<{ ours: boolean }>(lock)).rows[0]?.ours) {
        // PostgreSQL may not have noticed yet that the server before us is dead.
        if (clock.nowMs() - sinceMs > OWNER_WITHIN_MS) {
          throw new OpenlineError('DATA_DIR_IN_USE', `another server uses the database in ${directory}`);
        }
        await clock.sleep(50);
      }
      const known = await client.query('select from pg_database where datname = $1', [DATABASE]);
      if (known.rowCount === 0) await client.query(`create database ${DATABASE}`);
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      if (error instanceof OpenlineError) throw error;
      const reason = error instanceof Error ? error.message : 'unknown';
      throw new OpenlineError(
        'DATABASE_FAILED',
        `PostgreSQL in ${directory} was started, but does not serve us: ${reason} (log: ${cluster.logFile})`,
        {
          cause: error,
        },
      );
    }
  }

  function watch(client: pg.Client): void {
    client.once('end', () => {
      if (closing.signal.aborted) return;
      deps.onLost();
      recovery = recover();
    });
  }

  async function recover(): Promise<void> {
    log.error({ directory }, 'lost the connection to the embedded PostgreSQL; bringing it back');
    const sinceMs = clock.nowMs();
    for (let pauseMs = RETRY_MIN_MS; !closing.signal.aborted; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        running = await bringUp(cluster, settings, running.port, bringUpDeps);
        ours = running.pid;
        guard = await claim(running);
        watch(guard);
        deps.onBack(addressOf(running));
        log.info({ ms: Math.round(clock.nowMs() - sinceMs) }, 'the embedded PostgreSQL is back');
        return;
      } catch (error) {
        if (closing.signal.aborted) return;
        log.error({ err: error, retryMs: pauseMs }, 'the embedded PostgreSQL does not come back yet');
        await clock.sleep(pauseMs, closing.signal);
      }
    }
  }

  return {
    address: () => addressOf(running),
    adopted: running.adopted,
    async close() {
      closing.abort();
      clearInterval(logCheck);
      await recovery;
      await guard.end().catch(() => {});
      await stop(running.pid, clock);
      process.off('exit', onExit);
    },
  };
}

function loginTo(cluster: Cluster, port: number) {
  return { host: hostOf(cluster, port), port, user: SUPERUSER, password: cluster.password };
}
