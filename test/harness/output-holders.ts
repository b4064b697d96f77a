import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process that holds an output of this one open: whoever reads it to its end waits for that process, too. */
export interface OutputHolder {
  readonly pid: number;
  readonly command: string;
}

/** Processes, other than this one, that have its standard output or error. None where there is no /proc to ask. */
export function outputHolders(): OutputHolder[] {
  const outputs = new Set([1, 2].flatMap((fd) => linkOf(`/proc/self/fd/${fd}`)).filter(isStream));
  if (outputs.size === 0) return [];
  return list('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter((pid) =>
      list(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).some((to) => outputs.has(to))),
    )
    .map((pid) => ({ pid: Number(pid), command: commandOf(pid) }));
}

/** Not a terminal or /dev/null, which everybody may have. */
function isStream(link: string): boolean {
  return /^(pipe|socket):/.test(link);
}

function list(dir: string): string[] {
  return orNothing(() => readdirSync(dir));
}

function linkOf(path: string): string[] {
  return orNothing(() => [readlinkSync(path)]);
}

/** It may have ended meanwhile, or belong to somebody else. */
function orNothing(look: () => string[]): string[] {
  try {
    return look();
  } catch {
    return [];
  }
}

function commandOf(pid: string): string {
  return orNothing(() => [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()]).join();
}
