import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { TaskEnd } from '@openline/proto/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskEngine } from './engine.ts';
import { createOutputSpool } from './output/spool.ts';
import { fakeDisk } from './testing/fake-disk.ts';
import {
  offerOf,
  ping,
  removeDir,
  STDOUT,
  server,
  shell,
  startEngine,
  tasksOf,
  tempDir,
  until,
} from './testing/support.ts';

let root: string;
let engine: TaskEngine | undefined;
let seen: ReturnType<typeof server>;

beforeEach(() => {
  root = tempDir();
  seen = server();
});

afterEach(async () => {
  await engine?.stop('end of the test');
  engine = undefined;
  removeDir(root);
});

describe('an agent whose disk refuses', () => {
  it('its journal rejects tasks with JOURNAL_FAILED, starts none, says so in its health, and recovers by itself', async () => {
    const fs = fakeDisk();
    engine = await startEngine(root, seen, tasksOf(shell(`echo x >> ${root}/marker`), ping), {}, { fs });
    engine.sessionOpened(1_000_000);
    fs.fail.write = 'no space left on device';
    engine.offer([offerOf('a'), offerOf('p', 'ping')]);
    for (const id of ['a', 'p']) {
      expect(await seen.result(id)).toMatchObject({
        end: TaskEnd.TASK_END_REJECTED,
        reasonCode: 'JOURNAL_FAILED',
        startedUnixMs: 0n,
      });
      expect(seen.accepted(id)).toBe(0);
    }
    expect(engine.health().fault).toBe('journal: no space left on device');
    fs.fail.write = undefined;
    await until(() => engine?.health().fault === '');
    // The refusal is on disk now: a second copy of the task does not start.
    engine.offer([offerOf('a'), offerOf('b')]);
    expect(await seen.result('b')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
    expect(readFileSync(join(root, 'marker'), 'utf8')).toBe('x\n');
    expect(fs.content(join(root, 'journal', 'journal.log'))).toContain('"t":"ended","run":"a"');
  });

  it('while a task runs still says its result, and holds it until the disk takes it', async () => {
    const fs = fakeDisk();
    engine = await startEngine(root, seen, tasksOf(shell('sleep 0.2')), {}, { fs });
    engine.sessionOpened(1_000_000);
    engine.offer([offerOf('a')]);
    await until(() => seen.started('a') > 0);
    fs.fail.write = 'no space left on device';
    expect(await seen.result('a')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
    expect(engine.openRunIds()).toEqual(['a']);
    fs.fail.write = undefined;
    await until(() => fs.content(join(root, 'journal', 'journal.log')).includes('"t":"ended","run":"a"'));
  });

  it('output counts it as dropped and says why', async () => {
    mkdirSync(join(root, 'full'));
    const spool = createOutputSpool(join(root, 'full'), { freeBytes: 1_000 });
    await spool.append([{ stream: STDOUT, data: Buffer.from('abc') }]);
    expect([spool.keptBytes(), spool.droppedBytes()]).toEqual([0, 3]);
    expect(spool.fault()).toContain('EISDIR');
  });
});

describe.runIf(getuid?.() === 0)('an agent on a file system that is really full', () => {
  it('runs tasks without their output while the journal has room, then rejects, then recovers', async ({ skip }) => {
    const dataDir = join(root, 'small');
    mkdirSync(dataDir);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dataDir], { stdio: 'ignore' });
    } catch {
      skip('this container may not mount');
    }
    try {
      engine = await startEngine(dataDir, seen, tasksOf(shell('head -c 3000000 /dev/zero; echo done'), ping));
      engine.sessionOpened(16 * 1024 * 1024);
      engine.offer([offerOf('big')]);
      const big = await seen.result('big');
      expect(big).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED, exitCode: 0 });
      expect(big.outputBytes + big.outputDroppedBytes).toBe(3_000_005n);
      expect(big.outputDroppedBytes).toBeGreaterThan(0n);
      expect(big.reason).toContain('no space left on device');
      await until(() => BigInt(seen.output('big').length) === big.outputBytes);

      try {
        writeFileSync(join(dataDir, 'filler'), Buffer.alloc(2_000_000));
      } catch {
        // It is full now.
      }
      for (let i = 0; i < 60; i += 1) engine.offer([offerOf(`p${i}`, 'ping', { parametersJson: '{}' })]);
      engine.offer([offerOf('full', 'shell', { parametersJson: JSON.stringify({ x: 'y'.repeat(50_000) }) })]);
      expect(await seen.result('full')).toMatchObject({ reasonCode: 'JOURNAL_FAILED' });
      expect(engine.health().fault).toContain('no space left on device');

      rmSync(join(dataDir, 'filler'));
      engine.resultsCommitted(['big']);
      engine.outputCommitted('big', Number(big.outputBytes));
      await until(() => engine?.health().fault === '');
      engine.offer([offerOf('again', 'ping')]);
      expect(await seen.result('again')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
    } finally {
      await engine?.stop('end of the test');
      engine = undefined;
      execFileSync('umount', [dataDir]);
    }
  });
});
