// Runs in every test file (vitest.config.ts).
import { afterAll, vi } from 'vitest';
import { eventually } from './eventually.ts';
import { outputHolders } from './output-holders.ts';

const END_BY_THEMSELVES_WITHIN_MS = 5_000;

// Vitest gives up after a second, which a busy machine may take for anything. The test's own timeout is the bound.
const { waitFor } = vi;
vi.waitFor = (callback, options) =>
  waitFor(callback, { timeout: 25_000, ...(typeof options === 'number' ? { timeout: options } : options) });

// Vitest reads the outputs of a worker to their end before it ends itself: one process that holds them would keep it
// waiting for ever. The first hook of a file is the last to run: after those that end what the tests started.
afterAll(async () => {
  const ended = await eventually(() => outputHolders().length === 0, {
    what: 'processes of this file to end',
    timeoutMs: END_BY_THEMSELVES_WITHIN_MS,
  }).catch(() => false);
  if (ended) return;
  const left = outputHolders();
  for (const { pid } of left) kill(pid);
  const names = left.map(({ pid, command }) => `${pid} (${command})`).join(', ');
  throw new Error(`the tests of this file left processes running, which were killed: ${names}`);
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
