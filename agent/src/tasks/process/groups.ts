import { readdir, readFile } from 'node:fs/promises';

/** Process groups of Linux. On systems without /proc a pid cannot be told from its successor, so nothing is killed by name there. */

/** @returns whether there was anything to signal; a zombie counts */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    // EPERM: there are members, and none may be signalled (they changed their user).
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Zombies do not count: where nobody reaps orphans (a container without an init) they stay for ever. */
export async function groupLives(pgid: number): Promise<boolean> {
  if (!signalGroup(pgid, 0)) return false;
  const pids = await processIds();
  if (pids.length === 0) return true;
  for (const pid of pids) {
    const [state, , group] = (await statFields(pid)) ?? [];
    if (Number(group) === pgid && state !== 'Z' && state !== 'X') return true;
  }
  return false;
}

/** When the process started, in clock ticks since boot: with the boot id it names a process beyond doubt. */
export async function startTicks(pid: number): Promise<string | undefined> {
  return (await statFields(pid))?.[19];
}

export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
}

/**
 * The process groups that a dispatch of a dead agent left: of the process that the journal names, if it is still that one, and of members whose
 * environment has these variables (its leader may have gone, or the agent may have died before it could write the name down).
 * @param marks what only processes of this dispatch at this agent have: another agent on this machine may run the same run
 */
export async function orphanedGroups(
  marks: Readonly<Record<string, string>>,
  name: { pid: number; ticks: string; boot: string } | undefined,
): Promise<number[]> {
  if (name !== undefined && name.boot !== (await bootId())) return [];
  if (name !== undefined && (await startTicks(name.pid)) === name.ticks) {
    return (await groupLives(name.pid)) ? [name.pid] : [];
  }
  const groups = new Set<number>();
  const cookies = Object.entries(marks).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
  for (const pid of await processIds()) {
    const environ = await readFile(`/proc/${pid}/environ`).catch(() => Buffer.alloc(0));
    if (!cookies.every((cookie) => environ.includes(cookie))) continue;
    // pgrp; a group of another session than the one that was started is one that the task detached on purpose.
    const pgid = Number((await statFields(pid))?.[2]);
    if (pgid > 1 && (name === undefined || pgid === name.pid)) groups.add(pgid);
  }
  return [...groups];
}

async function processIds(): Promise<number[]> {
  const entries = await readdir('/proc').catch((): string[] => []);
  return entries.map(Number).filter(Number.isInteger);
}

/** From the third field on (state), because the second, the name, may hold blanks and brackets. */
async function statFields(pid: number): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}
