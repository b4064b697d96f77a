import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { makeDirectory } from '@openline/proto/make-directory';
import { type Binaries, linkLibraries } from './binaries.ts';
import { isAlive } from './postmaster.ts';
import { chooseRunAs, type RunAs } from './run-as.ts';
import { nameUser } from './user-name.ts';

export const SUPERUSER = 'openline';

/** PostgreSQL's files on disk, ready to be started. */
export interface Cluster {
  /** PGDATA */
  readonly dataDir: string;
  readonly logFile: string;
  readonly password: string;
  readonly binaries: Binaries;
  readonly runAs: RunAs;
  readonly env: Record<string, string>;
}

/**
 * Prepares `<directory>`: links, password, and at the first start the files of a new database (about a second).
 * @throws OpenlineError DATA_DIR_UNUSABLE, DATABASE_FAILED
 */
export async function prepareCluster(directory: string, binaries: Binaries): Promise<Cluster> {
  // Others may pass through, to nothing they can read: PostgreSQL itself may run as another user.
  const passable = process.getuid?.() === 0 ? 0o711 : 0o700;
  try {
    makeDirectory(directory, passable);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new OpenlineError('DATA_DIR_UNUSABLE', `the data directory cannot be written: ${reason}`, { cause });
  }
  const runAs = chooseRunAs(binaries, directory);
  const dataDir = join(directory, 'data');
  const passwordFile = join(directory, 'password');
  // Nothing of our own environment, which may hold secrets, reaches PostgreSQL.
  const env = {
    PATH: '/usr/bin:/bin',
    LC_ALL: 'C',
    TZ: 'UTC',
    ...linkLibraries(binaries, join(directory, 'lib')),
    ...nameUser(directory),
  };

  if (!existsSync(join(dataDir, 'PG_VERSION'))) {
    if (existsSync(dataDir)) {
      throw new OpenlineError(
        'DATABASE_FAILED',
        `${dataDir} is not a PostgreSQL database: move it away, or restore it`,
      );
    }
    removeHalfMade(directory);
    writePassword(passwordFile, runAs);
    const half = join(directory, `data.new-${process.pid}`);
    mkdirSync(half, { mode: 0o700 });
    if (runAs.owner) chownSync(half, runAs.owner.uid, runAs.owner.gid);
    await initdb(half, passwordFile, { binaries, runAs, env, directory });
    renameSync(half, dataDir);
  }

  refuseOtherVersion(dataDir, binaries);
  if (!existsSync(passwordFile)) {
    throw new OpenlineError(
      'DATABASE_FAILED',
      `${passwordFile} is missing: restore it with the rest of the data directory`,
    );
  }
  const password = readFileSync(passwordFile, 'utf8').trim();
  return { dataDir, logFile: join(directory, 'postgres.log'), password, binaries, runAs, env };
}

function writePassword(file: string, { owner }: RunAs): void {
  writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  if (owner) chownSync(file, owner.uid, owner.gid);
}

/** What an initdb that was interrupted has left. */
function removeHalfMade(directory: string): void {
  for (const name of readdirSync(directory)) {
    const pid = Number(/^data\.new-(\d+)$/.exec(name)?.[1]);
    if (pid === process.pid || (pid > 0 && !isAlive(pid))) rmSync(join(directory, name), { recursive: true });
  }
}

async function initdb(
  dataDir: string,
  passwordFile: string,
  {
    binaries,
    runAs,
    env,
    directory,
  }: { binaries: Binaries; runAs: RunAs; env: Record<string, string>; directory: string },
): Promise<void> {
  const args = ['-D', dataDir, '-U', SUPERUSER, '-E', 'UTF8', '--locale=C', '-A', 'scram-sha-256'];
  const {
    file,
    args: all,
    identity,
  } = runAs.command(binaries.initdb, [...args, `--pwfile=${passwordFile}`, '--no-instructions']);
  const child = spawn(file, [...all], { ...identity, env, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  const outcome = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  if (outcome === 0) return;
  rmSync(dataDir, { recursive: true, force: true });
  const reason = said.trim().split('\n').slice(-3).join('; ') || String(outcome);
  if (said.includes('could not look up effective user ID')) {
    throw new OpenlineError(
      'DATABASE_FAILED',
      `PostgreSQL wants its user to have a name (${reason}): give this user an entry in /etc/passwd, start the server as another user, or give --database-url`,
    );
  }
  throw new OpenlineError('DATABASE_FAILED', `PostgreSQL could not make its files in ${directory}: ${reason}`);
}

/** The first line of share/postgresql/postgres.bki names the major version: "# PostgreSQL 18". */
function refuseOtherVersion(dataDir: string, { nativeDir }: Binaries): void {
  const found = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim();
  const bki = readFileSync(join(nativeDir, 'share/postgresql/postgres.bki'), 'utf8').slice(0, 100);
  const ours = /PostgreSQL (\d+)/.exec(bki)?.[1];
  if (ours === undefined || ours === found) return;
  throw new OpenlineError(
    'DATABASE_FAILED',
    `${dataDir} was written by PostgreSQL ${found}, and this build brings PostgreSQL ${ours}: dump it with the build that wrote it, and restore the dump into a new data directory`,
  );
}
