import { type ChildProcess, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import type { Clock } from '../../clock.ts';
import type { Cluster } from './cluster.ts';
import { findPostmaster, isAlive, type Postmaster } from './postmaster.ts';

/**
 * Durability stays as PostgreSQL ships it (fsync, synchronous_commit). The rest fits one server process with one pool on a
 * machine that has other work, too.
 */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // Its data directory, where nobody else may look. Relative: a path of a socket may have 107 characters, and a data directory more.
  unix_socket_directories: '.',
  max_connections: '40',
  shared_buffers: '128MB',
  max_wal_size: '512MB',
  // Nothing replicates from it.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  jit: 'off',
  // Parallel plans need /dev/shm, which containers keep small; no query of ours gains from them.
  max_parallel_workers_per_gather: '0',
  io_method: 'sync',
  autovacuum_naptime: '15s',
  // Ends the queries of a server that was killed.
  client_connection_check_interval: '1s',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  log_timezone: 'UTC',
  timezone: 'UTC',
} as const;

/** PostgreSQL names its socket by its port, and a lock beside it. */
const SOCKET_PREFIX = '.s.PGSQL.';
/** What every system takes: macOS has the shortest. */
const MAX_SOCKET_PATH_BYTES = 103;

/** A log of warnings; this much of them is more than anybody reads. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
const POLL_MS = 10;
/** Crash recovery replays at most `max_wal_size`; a disk may be slow. */
const READY_WITHIN_MS = 120_000;
const STOP_FAST_MS = 10_000;
const STOP_IMMEDIATE_MS = 3_000;

export interface Running extends Postmaster {
  /** Whether it ran before us: an earlier server was killed and left it. */
  readonly adopted: boolean;
}

export interface BringUpDeps {
  readonly clock: Clock;
  /** Gives up. */
  readonly signal: AbortSignal;
  /** Of a process that was started: from here on it must be stopped. */
  launched(pid: number): void;
}

/**
 * Starts PostgreSQL, or finds it running, and waits until it is ready.
 * @param settings in addition to ours
 * @param preferredPort tried first; 0: any
 * @throws OpenlineError DATABASE_FAILED with the last lines of its log
 */
export async function bringUp(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  preferredPort: number,
  { clock, signal, launched }: BringUpDeps,
): Promise<Running> {
  const startedMs = clock.nowMs();
  let attempt: Attempt | undefined;
  let pauseMs = 50;
  let adopted = false;
  while (clock.nowMs() - startedMs < READY_WITHIN_MS && !signal.aborted) {
    const found = findPostmaster(cluster.dataDir);
    if (found?.status === 'ready') {
      return { ...found, adopted: found.pid !== attempt?.child.pid };
    }
    // Starting (perhaps recovering), or stopping because the server before us was told to: either ends soon.
    adopted = found !== undefined && found.pid !== attempt?.child.pid;
    if (attempt?.ended !== undefined && !adopted) {
      // Backends of a PostgreSQL that was killed hold its shared memory for a moment longer; ports may be taken.
      const passing = /shared memory block|lock file|Address already in use|could not create any TCP/;
      const said = readFrom(cluster.logFile, attempt.logOffset);
      if (!passing.test(said) || clock.nowMs() - startedMs > STOP_FAST_MS) throw failed(cluster, said, attempt.ended);
      await clock.sleep(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, 1000);
      attempt = undefined;
    }
    if (attempt === undefined && !adopted) {
      const port = preferredPort !== 0 && pauseMs === 50 ? preferredPort : await freePort();
      if (findPostmaster(cluster.dataDir) === undefined) attempt = launch(cluster, settings, port);
      if (attempt?.child.pid !== undefined) launched(attempt.child.pid);
    }
    await clock.sleep(POLL_MS, signal);
  }
  if (attempt?.child.pid !== undefined) await stop(attempt.child.pid, clock);
  throw failed(cluster, readFrom(cluster.logFile, attempt?.logOffset ?? 0), 'it did not become ready');
}

/**
 * Where to connect to, for the driver: the directory of its socket, which costs a third less time and processor than TCP. Or 127.0.0.1: it was
 * started by an earlier build, which had no socket, or its path is too long, or we may not look into the directory.
 */
export function hostOf({ dataDir }: Cluster, port: number): string {
  const socket = join(dataDir, `${SOCKET_PREFIX}${port}`);
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES) return SETTINGS.listen_addresses;
  try {
    accessSync(socket, constants.W_OK);
    return dataDir;
  } catch {
    return SETTINGS.listen_addresses;
  }
}

interface Attempt {
  readonly child: ChildProcess;
  readonly logOffset: number;
  /** Set when it has ended. */
  ended: string | undefined;
}

function launch(cluster: Cluster, settings: Readonly<Record<string, string>>, port: number): Attempt {
  // Of a PostgreSQL that is dead, as the caller has made sure: its pid may belong to something else now.
  for (const name of readdirSync(cluster.dataDir)) {
    if (name === 'postmaster.pid' || name.startsWith(SOCKET_PREFIX))
      rmSync(join(cluster.dataDir, name), { force: true });
  }
  const log = openSync(cluster.logFile, 'a', 0o600);
  trimLog(cluster);
  const logOffset = statSync(cluster.logFile).size;
  const options = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { file, args, identity } = cluster.runAs.command(cluster.binaries.postgres, [
    '-D',
    cluster.dataDir,
    '-p',
    String(port),
    ...options,
  ]);
  const child = spawn(file, [...args], {
    ...identity,
    env: cluster.env,
    cwd: dirname(cluster.dataDir),
    stdio: ['ignore', log, log],
    // Ctrl-C reaches the whole foreground group; the server must drain before its database stops.
    detached: true,
  });
  closeSync(log);
  child.unref();
  const attempt: Attempt = { child, logOffset, ended: undefined };
  child.once('error', (error) => {
    attempt.ended = error.message;
  });
  child.once('exit', (code, signal) => {
    attempt.ended = signal === null ? `exit code ${code}` : `it was ended by ${signal}`;
  });
  return attempt;
}

/** The file is opened for appending, so cutting it under PostgreSQL is safe. */
export function trimLog({ logFile }: Cluster): void {
  if ((statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) truncateSync(logFile);
}

/** Stops it in good order; when that takes too long, less so: a next start recovers. */
export async function stop(pid: number, clock: Clock): Promise<void> {
  const steps = [
    ['SIGINT', STOP_FAST_MS],
    ['SIGQUIT', STOP_IMMEDIATE_MS],
    ['SIGKILL', STOP_IMMEDIATE_MS],
  ] as const;
  for (const [name, withinMs] of steps) {
    if (!signalTo(pid, name)) return;
    const sinceMs = clock.nowMs();
    while (clock.nowMs() - sinceMs < withinMs) {
      if (!isAlive(pid)) return;
      await clock.sleep(POLL_MS);
    }
  }
}

/** @returns false when there is no such process */
export function signalTo(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function failed(cluster: Cluster, said: string, outcome: string): OpenlineError {
  const telling = said
    .split('\n')
    .filter((line) => /FATAL|PANIC|ERROR|HINT|DETAIL|error while loading|denied/.test(line));
  const reason = telling.slice(-3).join('; ') || outcome;
  return new OpenlineError(
    'DATABASE_FAILED',
    `PostgreSQL in ${cluster.dataDir} did not start: ${reason} (log: ${cluster.logFile})`,
  );
}

/** At most 8 kB: what it said at the end. */
function readFrom(file: string, offset: number): string {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const from = Math.max(offset, size - 8192);
  if (size <= from) return '';
  const buffer = Buffer.alloc(size - from);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, buffer, 0, buffer.length, from);
  } finally {
    closeSync(fd);
  }
  return buffer.toString('utf8');
}
