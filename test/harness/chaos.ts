import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import type { TestServer } from './server.ts';

/** The PostgreSQL that the server runs for itself. */
export async function postmasterPid(server: Pick<TestServer, 'dataDir'>): Promise<number> {
  const text = await readFile(join(server.dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8');
  return Number.parseInt(text, 10);
}

/** kill -9 of the embedded PostgreSQL. Its helpers end by themselves when they see it gone. */
export async function killPostgres(server: Pick<TestServer, 'dataDir'>): Promise<void> {
  process.kill(await postmasterPid(server), 'SIGKILL');
}

/** Numbers in [0, 1) that a seed repeats: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

export async function untilDead(pid: number, timeoutMs = 10_000): Promise<void> {
  await eventually(() => !isAlive(pid), { what: `the end of process ${pid}`, timeoutMs });
}
