import { spawn } from 'node:child_process';
import { expect, it, onTestFinished } from 'vitest';
import { orphanedGroups } from './groups.ts';

function processOf(env: Readonly<Record<string, string>>): number {
  const child = spawn('sleep', ['30'], { detached: true, stdio: 'ignore', env: { PATH: process.env['PATH'], ...env } });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child.pid ?? 0;
}

it.skipIf(process.platform !== 'linux')(
  'what another agent on this machine runs of the same run is not an orphan',
  async () => {
    const run = { OPENLINE_RUN_ID: `run-${process.pid}` };
    const mine = processOf({ ...run, OPENLINE_AGENT_NAME: 'web-1' });
    processOf({ ...run, OPENLINE_AGENT_NAME: 'web-2' });
    await expect.poll(() => orphanedGroups(run, undefined)).toHaveLength(2);
    expect(await orphanedGroups({ ...run, OPENLINE_AGENT_NAME: 'web-1' }, undefined)).toEqual([mine]);
  },
);
