import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { processesNaming, removeScratch, scratchDir } from './scratch.ts';

afterEach(removeScratch);

describe('a scratch directory', () => {
  it('is removed with every process that names it, by argument, environment or working directory', async () => {
    const dir = scratchDir('test');
    const detached = { detached: true, stdio: 'ignore' } as const;
    spawn('sh', ['-c', 'sleep 60; true', dir], detached);
    spawn('sleep', ['60'], { ...detached, env: { ...process.env, SOME_DIR: `${dir}/x` } });
    spawn('sleep', ['60'], { ...detached, cwd: dir });
    await eventually(() => processesNaming(dir).length >= 3, { what: 'the processes' });
    removeScratch();
    expect([existsSync(dir), processesNaming(dir)]).toEqual([false, []]);
  });

  it('leaves other processes alone', () => {
    scratchDir('test');
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    removeScratch();
    expect(other.kill()).toBe(true);
  });
});
