import { describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import { type FakeDisk, fakeDisk } from '../testing/fake-disk.ts';
import { quiet, until } from '../testing/support.ts';
import { createGroupLog, type GroupLog, type GroupLogConfig } from './group-log.ts';

function open(disk: FakeDisk, config: Partial<GroupLogConfig> = {}, snapshot?: () => string[]): Promise<GroupLog> {
  return createGroupLog(
    {
      fs: disk,
      clock: systemClock,
      log: quiet,
      probe: (leastBytes) => `${'probe'.padEnd(leastBytes)}\n`,
      ...(snapshot === undefined ? {} : { snapshot }),
    },
    { path: 'log', validBytes: 0, retryMs: 20, selfCheckMs: 60_000, ...config },
  );
}

const synced = (log: GroupLog, text: string) =>
  new Promise<string>((resolve) => log.append(text, 'synced', (error) => resolve(error?.message ?? 'ok')));

describe('a group log', () => {
  it('writes and syncs once for everything that one turn brings', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    expect(await Promise.all(['a\n', 'b\n', 'c\n'].map((text) => synced(log, text)))).toEqual(['ok', 'ok', 'ok']);
    expect(disk.syncs).toBe(1);
    expect(disk.content('log')).toBe('a\nb\nc\n');
  });

  it('gathers what comes during a sync into the next one', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    const gate = disk.slow();
    const first = synced(log, 'a\n');
    await until(() => disk.content('log') === 'a\n');
    const rest = Array.from({ length: 1_000 }, (_, i) => synced(log, `${i}\n`));
    gate.release();
    await Promise.all([first, ...rest]);
    expect(disk.syncs).toBe(2);
  });

  it('says that a record is written before the sync, and needs none for it', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    await new Promise<void>((resolve) => log.append('a\n', 'written', () => resolve()));
    expect([disk.content('log'), disk.syncs]).toEqual(['a\n', 0]);
    await log.close();
    expect(disk.syncs).toBe(1);
  });

  it('on a full disk refuses what must be synced, keeps what must not be lost, and goes on by itself', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    await synced(log, 'before\n');
    disk.fail.write = 'no space left on device';
    const written = new Promise<string>((resolve) =>
      log.append('result\n', 'written', (e) => resolve(e?.message ?? 'ok')),
    );
    expect(await synced(log, 'refused\n')).toBe('no space left on device');
    expect(await written).toBe('no space left on device');
    expect(log.fault()).toBe('journal: no space left on device');
    disk.fail.write = undefined;
    await until(() => log.fault() === '');
    expect(disk.content('log').replaceAll(/probe *\n/g, '')).toBe('before\nresult\n');
    expect(await synced(log, 'after\n')).toBe('ok');
    expect(disk.content('log')).not.toContain('refused');
  });

  it('is well again when there is room for what was refused, not for less', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    disk.room = 100;
    expect(await synced(log, `${'x'.repeat(500)}\n`)).toBe('no space left on device');
    expect(await synced(log, 'short\n')).toBe('ok');
    // At least one more try of its own.
    const tries = disk.writes;
    await until(() => disk.writes >= tries + 2);
    expect(log.fault()).toBe('journal: no space left on device');
    delete disk.room;
    await until(() => log.fault() === '');
    await log.close();
  });

  it('leaves nothing of a long record that the disk took in part behind a short one', async () => {
    const disk = fakeDisk();
    const log = await open(disk);
    disk.fail.write = 'no space left on device';
    await synced(log, `${'x'.repeat(1_000)}\n`);
    disk.fail.write = undefined;
    expect(await synced(log, 'short\n')).toBe('ok');
    expect(disk.content('log')).toBe('short\n');
    await log.close();
  });

  it('after a sync that failed trusts only a new file', async () => {
    const disk = fakeDisk();
    const log = await open(disk, {}, () => ['snapshot\n']);
    disk.fail.sync = 'input/output error';
    expect(await synced(log, 'a\n')).toBe('input/output error');
    disk.fail.sync = undefined;
    expect(await synced(log, 'b\n')).toBe('ok');
    expect(disk.content('log').replaceAll(/probe *\n/g, '')).toBe('snapshot\nb\n');
  });

  it('is rewritten when it has grown, and not at every turn', async () => {
    const disk = fakeDisk();
    let rewrites = 0;
    const log = await open(disk, { rewriteAfterBytes: 100 }, () => {
      rewrites += 1;
      return ['live\n'];
    });
    for (let i = 0; i < 50; i += 1) await synced(log, `${'x'.repeat(19)}\n`);
    expect(rewrites).toBeGreaterThanOrEqual(7);
    expect(rewrites).toBeLessThanOrEqual(10);
    expect(disk.content('log').length).toBeLessThan(150);
    expect(disk.content('log')).toMatch(/^live\n/);
  });

  it('proves now and then that it can write', async () => {
    const disk = fakeDisk();
    const log = await open(disk, { selfCheckMs: 20 });
    const before = log.lastSyncedMs();
    await until(() => disk.syncs >= 2);
    expect(log.lastSyncedMs()).toBeGreaterThan(before);
    await log.close();
  });
});
