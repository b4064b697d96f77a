import { expect, it } from 'vitest';
import { closeAll } from './close-all.ts';

it('closes the last first, and the others also when one of them fails, which is told of then', async () => {
  const closed: string[] = [];
  const closers = ['database', 'sweeper', 'port'].map((what) => async () => {
    closed.push(what);
    if (what !== 'database') throw new Error(`${what} failed`);
  });
  await expect(closeAll(closers)).rejects.toThrow('port failed');
  expect(closed).toEqual(['port', 'sweeper', 'database']);
});
