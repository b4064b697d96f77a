import { readFile } from 'node:fs/promises';

/** Resident memory of a process, kB, from the kernel (VmRSS). */
export async function rssKb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const value = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (value === undefined) throw new Error(`no VmRSS in /proc/${pid}/status`);
  return Number(value);
}
