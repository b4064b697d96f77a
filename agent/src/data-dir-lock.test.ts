import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDataDir } from './data-dir-lock.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'openline-lock-')));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** Another user of the machine, who knows which name an agent takes. */
async function squatter() {
  const name = `openline-agent-${createHash('sha256').update(dataDir).digest('hex')}`;
  const script =
    'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, pack("S a*", AF_UNIX, "\\0$ARGV[0]")) or die $!; listen($s, 1); $| = 1; print "held\\n"; sleep 600;';
  const child = spawn('perl', ['-e', script, name], {
    uid: 65_534,
    gid: 65_534,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return { leave: () => child.kill('SIGKILL') };
}

describe('a data directory', () => {
  it('is one agent’s at a time', async () => {
    const unlock = await lockDataDir(dataDir);
    await expect(lockDataDir(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' });
    await unlock();
    await (await lockDataDir(dataDir))();
  });

  // It takes another user, and a program that this user may run: Node may lie where only we can read.
  it.skipIf(process.getuid?.() !== 0 || !existsSync('/usr/bin/perl') || process.platform !== 'linux')(
    'is not kept from its agent by another user of the machine, and still one agent’s at a time',
    async () => {
      const { leave } = await squatter();
      try {
        const unlock = await lockDataDir(dataDir);
        await expect(lockDataDir(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' });
        leave();
        await expect(lockDataDir(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' });
        await unlock();
      } finally {
        leave();
      }
    },
  );
});
