import { type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { outputHolders } from './output-holders.ts';

async function whileCatRuns(stdio: StdioOptions, look: (pid: number | undefined) => void): Promise<void> {
  const child = spawn('cat', { stdio });
  await once(child, 'spawn');
  look(child.pid);
  child.stdin?.end();
  await once(child, 'close');
}

it('a process that was given our standard error holds it until it ends', async () => {
  await whileCatRuns(['pipe', 'ignore', 'inherit'], (pid) =>
    expect(outputHolders()).toEqual([{ pid, command: 'cat' }]),
  );
  expect(outputHolders()).toEqual([]);
});

it('a process with outputs of its own does not', async () => {
  await whileCatRuns('pipe', () => expect(outputHolders()).toEqual([]));
});
