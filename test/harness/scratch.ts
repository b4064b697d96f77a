import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const scratchDirs = new Set<string>();

/** A fresh directory. Every process that a test starts names it (in its arguments, environment or working directory), so none escapes `cleanup`. */
export async function scratchDir(name: string, parent = tmpdir()): Promise<string> {
  await mkdir(parent, { recursive: true });
  const dir = await mkdtemp(join(parent, `openline-${name}-`));
  // As root, the embedded PostgreSQL runs as another user, who must be able to come through.
  if (process.getuid?.() === 0) await chmod(dir, 0o711);
  scratchDirs.add(dir);
  return dir;
}

/** Processes that name the directory: also tasks whose agent was killed, and a PostgreSQL whose server was. */
export async function processesNaming(dir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const named = await Promise.all(pids.map(async (pid) => ((await names(pid, dir)) ? pid : undefined)));
  return named.filter((pid): pid is number => pid !== undefined && pid !== process.pid);
}

async function names(pid: number, dir: string): Promise<boolean> {
  const looks = [
    () => readFile(`/proc/${pid}/cmdline`, 'utf8'),
    () => readFile(`/proc/${pid}/environ`, 'utf8'),
    () => readlink(`/proc/${pid}/cwd`),
  ];
  for (const look of looks) {
    try {
      if ((await look()).includes(dir)) return true;
    } catch {
      // It ended meanwhile, or belongs to somebody else.
    }
  }
  return false;
}

/** Kills what names a scratch directory of this test file, then removes the directories. */
export async function removeScratch(): Promise<void> {
  for (const dir of scratchDirs) {
    // More than once: a process may start another between our look and our kill.
    for (let round = 0; round < 20; round++) {
      const pids = await processesNaming(dir);
      if (pids.length === 0) break;
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    scratchDirs.delete(dir);
  }
}
