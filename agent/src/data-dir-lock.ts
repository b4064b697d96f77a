import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { unusable } from './files.ts';

/**
 * One agent per data directory. On Linux an abstract socket, which the kernel takes back whenever and however the process ends; its
 * name is of the network namespace, so two containers that share a directory and no network are not caught.
 * @returns a function that gives it back
 * @throws OpenlineError DATA_DIR_IN_USE, DATA_DIR_UNUSABLE
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const path = realpathSync(dataDir);
  return process.platform === 'linux' ? lockBySocket(path) : lockByFile(path);
}

function inUse(dataDir: string, by: string): OpenlineError {
  return new OpenlineError('DATA_DIR_IN_USE', `${dataDir} is used by another agent${by}`);
}

/** Holds what the name of the socket is made of besides the path, once somebody else took the first one. */
const NAME_FILE = 'lock-name';

async function lockBySocket(dataDir: string): Promise<() => Promise<void>> {
  for (;;) {
    const name = `openline-agent-${createHash('sha256').update(dataDir).update(ownName(dataDir)).digest('hex')}`;
    const unlock = await hold(name, dataDir);
    if (unlock !== undefined) return unlock;
    if (!isStrangers(name)) throw inUse(dataDir, '');
    // Every user of the machine can take such a name, and so keep an agent from starting: with one that nobody knows it goes on.
    try {
      writeFileSync(join(dataDir, NAME_FILE), randomBytes(16).toString('hex'), { mode: 0o600 });
    } catch (error) {
      throw unusable(dataDir, error);
    }
  }
}

function ownName(dataDir: string): string {
  try {
    return readFileSync(join(dataDir, NAME_FILE), 'utf8');
  } catch {
    return '';
  }
}

/** @returns undefined: somebody holds it */
function hold(name: string, dataDir: string): Promise<(() => Promise<void>) | undefined> {
  return new Promise((resolve, reject) => {
    const holder = createServer((socket) => socket.destroy());
    holder.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(unusable(dataDir, error));
    });
    holder.listen(`\0${name}`, () => {
      // Holding a directory is no reason to stay alive.
      holder.unref();
      resolve(() => new Promise((closed) => holder.close(() => closed())));
    });
  });
}

/** Whether another user than root and ours holds the name. Where that cannot be seen it is ours: two agents with one journal are worse than none. */
function isStrangers(name: string): boolean {
  const sockets = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(`@${name}`))
    .map((line) => `socket:[${line.trim().split(/\s+/)[6]}]`);
  return readdirSync('/proc').some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      if (uid === 0 || uid === process.getuid?.()) return false;
      return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.includes(readlinkSync(`/proc/${pid}/fd/${fd}`)));
    } catch {
      return false;
    }
  });
}

function lockByFile(dataDir: string): Promise<() => Promise<void>> {
  const file = join(dataDir, 'agent.pid');
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o600 });
      return Promise.resolve(async () => rmSync(file, { force: true }));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw unusable(file, error);
    }
    const pid = Number(readFileSync(file, 'utf8'));
    if (Number.isInteger(pid) && pid > 0 && isAlive(pid)) throw inUse(dataDir, ` (process ${pid})`);
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
