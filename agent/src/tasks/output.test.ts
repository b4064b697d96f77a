import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_OUTPUT_BYTES, MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskEngine } from './engine.ts';
import { offerOf, removeDir, STDOUT, server, shell, startEngine, tasksOf, tempDir, until } from './testing/support.ts';

let dataDir: string;
let engine: TaskEngine | undefined;
let seen: ReturnType<typeof server>;

beforeEach(() => {
  dataDir = tempDir();
  seen = server();
});

afterEach(async () => {
  await engine?.stop('end of the test');
  engine = undefined;
  removeDir(dataDir);
});

/** Far more than may be held: a writer that filled memory would be seen by the bound below. */
const WRITTEN = 256 * 1024 * 1024;

describe('the output of a task', () => {
  it('of 256 MiB is cut at the cap, counted to the byte, and neither fills memory nor holds up others', async () => {
    const it = await startEngine(dataDir, seen, tasksOf(shell('yes 0123456 | head -c 256M')), { concurrency: 2 });
    engine = it;
    it.sessionOpened(256 * 1024);
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss - before);
    }, 20);
    it.offer([offerOf('big', 'shell', { timeoutMs: 60_000 })]);
    const result = await seen.result('big', 50_000);
    clearInterval(watch);
    expect(result.outputBytes).toBe(BigInt(MAX_OUTPUT_BYTES));
    expect(result.outputDroppedBytes).toBe(BigInt(WRITTEN - MAX_OUTPUT_BYTES));
    // V8 collects read buffers when some 64 MiB of them lie outside its heap: a bound, whatever the task writes.
    expect(most).toBeLessThan(96 * 1024 * 1024);
    for (let committed = 0; committed < MAX_OUTPUT_BYTES; ) {
      await until(() => seen.chunks.length > 0);
      committed = seen.chunks.reduce((sum, chunk) => sum + chunk.data.length, 0);
      it.outputCommitted('big', committed);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(seen.output('big')).toBe('0123456\n'.repeat(MAX_OUTPUT_BYTES / 8));
  }, 60_000);

  it('of 10,000 small lines a second travels in some twenty chunks a second', async () => {
    const script = 'i=0; while [ $i -lt 100 ]; do seq 1 100; i=$((i+1)); sleep 0.008; done';
    engine = await startEngine(dataDir, seen, tasksOf(shell(script)));
    engine.sessionOpened(16 * 1024 * 1024);
    engine.offer([offerOf('run-1')]);
    const result = await seen.result('run-1');
    await until(() => BigInt(seen.output('run-1').length) === result.outputBytes);
    expect(seen.output('run-1').split('\n').length).toBe(10_001);
    const seconds = Number(result.endedUnixMs - result.startedUnixMs) / 1_000;
    expect(seen.chunks.length / seconds).toBeLessThan(40);
  });

  it('that is not UTF-8 passes byte for byte, and both streams keep apart', async () => {
    engine = await startEngine(dataDir, seen, tasksOf(shell(`printf '\\377\\000\\376a'; printf err >&2`)));
    engine.sessionOpened(1_000_000);
    engine.offer([offerOf('run-1')]);
    await seen.result('run-1');
    await until(() => seen.output('run-1').length === 7);
    expect(seen.output('run-1', STDOUT)).toBe('\u00ff\u0000\u00fea');
    expect(seen.chunks.every((chunk) => chunk.data.length <= MAX_OUTPUT_CHUNK_BYTES)).toBe(true);
  });

  it('is sent once more, chunk for chunk, after the session broke, and the task never waits for the server', async () => {
    engine = await startEngine(dataDir, seen, tasksOf(shell('head -c 2000000 /dev/zero | tr "\\0" "z"')));
    engine.sessionOpened(64 * 1024);
    engine.offer([offerOf('run-1')]);
    const result = await seen.result('run-1');
    expect(seen.chunks.reduce((sum, chunk) => sum + chunk.data.length, 0)).toBeLessThanOrEqual(64 * 1024);
    engine.outputCommitted('run-1', MAX_OUTPUT_CHUNK_BYTES);
    engine.sessionClosed();
    engine.sessionOpened(16 * 1024 * 1024);
    await until(() => BigInt(seen.output('run-1').length) === result.outputBytes);
    expect(seen.output('run-1')).toBe('z'.repeat(2_000_000));
  });

  it('survives a restart of the agent until the server has it', async () => {
    engine = await startEngine(dataDir, seen, tasksOf(shell('echo precious')));
    engine.offer([offerOf('run-1')]);
    const first = engine;
    await until(() => first.health().spooledResults === 1);
    await first.stop('restart');
    engine = await startEngine(dataDir, seen, tasksOf());
    engine.sessionOpened(1_000_000);
    expect((await seen.result('run-1')).outputBytes).toBe(9n);
    await until(() => seen.output('run-1') === 'precious\n');
  });
  it('that the disk gives back no more is told as dropped, and keeps no agent from starting', async () => {
    engine = await startEngine(dataDir, seen, tasksOf(shell('echo precious')));
    engine.offer([offerOf('run-1')]);
    const first = engine;
    await until(() => first.health().spooledResults === 1);
    await first.stop('restart');
    const spool = join(dataDir, 'spool', 'run-1');
    rmSync(spool);
    mkdirSync(spool);
    seen = server();
    engine = await startEngine(dataDir, seen, tasksOf());
    engine.sessionOpened(1_000_000);
    expect(await seen.result('run-1')).toMatchObject({ outputBytes: 0n, outputDroppedBytes: 9n });
  });
});
