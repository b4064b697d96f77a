import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';

export interface ProcessFinding {
  readonly count: number;
  /** The first of them. */
  readonly pids: readonly number[];
}

const MAX_PIDS = 100;

/**
 * The processes whose name is this, and whose whole command line is like that; zombies do not count. A name is what the kernel calls the
 * process (of which it keeps 15 characters), or the file name of its first argument.
 * @param matches undefined: any command line @throws where there is no /proc
 */
export async function probeProcesses(
  name: string | undefined,
  matches: ((commandLine: string) => boolean) | undefined,
  root = '/proc',
): Promise<ProcessFinding> {
  // By the numbers of that /proc, which may not be ours.
  const own = Number(await readlink(`${root}/self`).catch(() => process.pid));
  const pids: number[] = [];
  let count = 0;
  for (const entry of await readdir(root)) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const found = await processOf(`${root}/${pid}`);
    // The agent itself would match a pattern that stands in its own command line.
    if (found === undefined || pid === own) continue;
    const { comm, argv } = found;
    if (name !== undefined && name !== comm && name !== basename(argv[0] ?? '')) continue;
    if (matches !== undefined && !matches(argv.join(' ') || `[${comm}]`)) continue;
    count += 1;
    if (pids.length < MAX_PIDS) pids.push(pid);
  }
  return { count, pids };
}

/** undefined: it has gone meanwhile, or is a zombie. */
async function processOf(directory: string): Promise<{ comm: string; argv: string[] } | undefined> {
  try {
    const [stat, commandLine] = await Promise.all([
      readFile(`${directory}/stat`, 'utf8'),
      readFile(`${directory}/cmdline`, 'utf8'),
    ]);
    // pid (name) state …, where the name may hold anything.
    const end = stat.lastIndexOf(')');
    if (stat.charAt(end + 2) === 'Z' || stat.charAt(end + 2) === 'X') return undefined;
    const argv = commandLine.split('\0').filter((part) => part !== '');
    return { comm: stat.slice(stat.indexOf('(') + 1, end), argv };
  } catch {
    return undefined;
  }
}
