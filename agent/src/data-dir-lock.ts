import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { unusable } from './files.ts';

/**
 * One agent per data directory. On Linux an abstract socket, which the kernel takes back whenever and however the process ends; its
 * name is of the network namespace, so two containers that share a directory are caught by the file beside it only when they share
 * their processes, too.
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

function lockBySocket(dataDir: string): Promise<() => Promise<void>> {
  const name = `\0openline-agent-${createHash('sha256').update(dataDir).digest('hex')}`;
  return new Promise((resolve, reject) => {
    const holder = createServer((socket) => socket.destroy());
    holder.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? inUse(dataDir, '') : unusable(dataDir, error));
    });
    holder.listen(name, () => {
      // Holding a directory is no reason to stay alive.
      holder.unref();
      resolve(() => new Promise((closed) => holder.close(() => closed())));
    });
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
