import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Resident memory of a process, kB, from the kernel (VmRSS). */
export async function rssKb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const value = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (value === undefined) throw new Error(`no VmRSS in /proc/${pid}/status`);
  return Number(value);
}

/** Processor time that a process has used, milliseconds; 0 when it has ended. */
export function cpuMs(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return 0;
  }
  // proc_pid_stat(5): the command may hold spaces; utime and stime are the 12th and 13th after it, in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
