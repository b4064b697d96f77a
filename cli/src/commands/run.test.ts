import { expect, it } from 'vitest';
import { splitTask } from './run.ts';

it('a task is named by its pack, the version behind the pack, and itself', () => {
  expect(splitTask('linux/disk-usage')).toEqual({ packRef: 'linux', taskName: 'disk-usage' });
  expect(splitTask('linux@1.1.0/disk-usage')).toEqual({ packRef: 'linux@1.1.0', taskName: 'disk-usage' });
  for (const wrong of ['disk-usage', '/disk-usage', 'linux/', 'a/b/c'])
    expect(() => splitTask(wrong)).toThrow('PACK/TASK');
  expect(() => splitTask('linux/disk-usage@1.1.0')).toThrow('the version stands behind the pack');
});
