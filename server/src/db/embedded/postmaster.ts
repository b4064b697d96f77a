import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What a running PostgreSQL says of itself in `postmaster.pid`. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly status: 'starting' | 'ready' | 'stopping';
}

/** The line numbers are PostgreSQL's own: src/include/utils/pidfile.h. */
export function parsePidFile(text: string): Postmaster | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const port = Number(lines[3] ?? '');
  const word = lines[7];
  const status = word === 'ready' || word === 'stopping' ? word : 'starting';
  return { pid, port: Number.isSafeInteger(port) ? port : 0, status };
}

/** The PostgreSQL that runs on this data directory now; a file left by a dead one, or by another program's pid, is none. */
export function findPostmaster(dataDir: string): Postmaster | undefined {
  const file = join(dataDir, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const postmaster = parsePidFile(readFileSync(file, 'utf8'));
  if (postmaster === undefined || !isAlive(postmaster.pid)) return undefined;
  return isPostgresOn(dataDir, postmaster.pid) ? postmaster : undefined;
}

/** A zombie, whose parent does not care, is not alive. */
export function isAlive(pid: number): boolean {
  if (!exists(pid)) return false;
  const stat = readProc(pid, 'stat');
  // There is no /proc here, or it ended just now.
  if (stat === undefined) return exists(pid);
  const state = stat.replace(/^.*\) /s, '').charAt(0);
  return state !== 'Z' && state !== 'X';
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** In a container that starts anew, the old pid soon belongs to something else. Without /proc the pid must do. */
function isPostgresOn(dataDir: string, pid: number): boolean {
  const commandLine = readProc(pid, 'cmdline');
  if (commandLine === undefined) return true;
  const theirDir = dataDirOf(commandLine);
  if (theirDir === undefined) return false;
  const theirs = statSync(theirDir, { throwIfNoEntry: false });
  const ours = statSync(dataDir);
  // A path that is gone: the folder was moved while it ran.
  return theirs === undefined || (theirs.ino === ours.ino && theirs.dev === ours.dev);
}

/**
 * Where an emulator runs the programs of another processor (an image for arm64 on amd64), its own name stands before theirs.
 * @param commandLine as in /proc: a NUL after each argument
 * @returns undefined: not of PostgreSQL
 */
export function dataDirOf(commandLine: string): string | undefined {
  const args = commandLine.split('\0');
  const option = args.indexOf('-D');
  return args.slice(0, Math.max(option, 0)).some((arg) => basename(arg) === 'postgres') ? args[option + 1] : undefined;
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return undefined;
  }
}
