import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const scratchDirs = new Set<string>();

// Synchronous throughout, so that a test runner that dies of an exception cleans up as well.
process.on('exit', removeScratch);

/** A fresh directory. Every process that a test starts names it (in its arguments, environment or working directory), so none escapes `cleanup`. */
export function scratchDir(name: string, parent = tmpdir()): string {
  mkdirSync(parent, { recursive: true });
  const dir = mkdtempSync(join(parent, `openline-${name}-`));
  // As root, the embedded PostgreSQL runs as another user, who must be able to come through.
  if (process.getuid?.() === 0) chmodSync(dir, 0o711);
  scratchDirs.add(dir);
  return dir;
}

/** Processes that name the directory: also tasks whose agent was killed, and a PostgreSQL whose server was. */
export function processesNaming(dir: string): number[] {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.map(Number).filter((pid) => pid !== process.pid && names(pid, dir));
}

function names(pid: number, dir: string): boolean {
  const looks = [
    () => readFileSync(`/proc/${pid}/cmdline`, 'utf8'),
    () => readFileSync(`/proc/${pid}/environ`, 'utf8'),
    () => readlinkSync(`/proc/${pid}/cwd`),
  ];
  return looks.some((look) => {
    try {
      return look().includes(dir);
    } catch {
      return false; // it ended meanwhile, or belongs to somebody else
    }
  });
}

const LOOKS = 200;
const PAUSE_MS = 10;

/** Kills what names a scratch directory of this process. */
export function killStragglers(): void {
  for (const dir of scratchDirs) {
    // More than once: a process may start another between our look and our kill.
    for (let look = 0; look < LOOKS; look++) {
      const pids = processesNaming(dir);
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

/** Kills what names a scratch directory of this process, then removes the directories. */
export function removeScratch(): void {
  killStragglers();
  for (const dir of scratchDirs) {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    scratchDirs.delete(dir);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
