import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scratchDir } from '../testing/scratch.ts';
import { prepareEventsDirectory } from './directory.ts';

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

describe('the directory of the agent’s log', () => {
  it('is for nobody else, also when somebody opened it', () => {
    const directory = join(scratchDir(), 'new', 'events');
    prepareEventsDirectory({ directory, group: undefined });
    expect(modeOf(directory)).toBe('700');
    chmodSync(directory, 0o777);
    prepareEventsDirectory({ directory, group: undefined });
    expect(modeOf(directory)).toBe('700');
  });

  it('is for a group that is named, and so are the files that its members begin', () => {
    const parent = scratchDir();
    chmodSync(parent, 0o755);
    const directory = join(parent, 'events');
    const gid = String(process.getgid?.());
    prepareEventsDirectory({ directory, group: gid });
    expect(modeOf(directory)).toBe('2770');
    expect(statSync(directory).gid).toBe(Number(gid));
  });

  it('is refused to a group that could not reach it, or that there is not', () => {
    const parent = scratchDir();
    const directory = join(parent, 'closed', 'events');
    mkdirSync(join(parent, 'closed'), { mode: 0o700 });
    chmodSync(parent, 0o755);
    const problem = (group: string) => {
      try {
        prepareEventsDirectory({ directory, group });
        return 'none';
      } catch (error) {
        return String(error);
      }
    };
    expect(problem('65000')).toMatch(/cannot reach .*events, as .*closed is closed to it/);
    expect(problem('no-such-group')).toMatch(/no group no-such-group/);
  });
});
