import { describe, expect, it } from 'vitest';
import { createGroupCommit } from './group-commit.ts';

/** What was committed together. */
function committing(limits: { maxBatch?: number; weight?: { of(item: number): number; most: number } }) {
  const batches: number[][] = [];
  const group = createGroupCommit<number>({
    commit: async (items) => void batches.push([...items]),
    onFailure: (error) => {
      throw error;
    },
    sleep: () => Promise.resolve(),
    ...limits,
  });
  return { group, batches };
}

describe('what is committed together', () => {
  it('is all that came in one turn', async () => {
    const { group, batches } = committing({});
    for (let i = 0; i < 5; i++) group.add(i);
    await group.idle();
    expect(batches).toEqual([[0, 1, 2, 3, 4]]);
  });
  it('is no more than so many', async () => {
    const { group, batches } = committing({ maxBatch: 2 });
    for (let i = 0; i < 5; i++) group.add(i);
    await group.idle();
    expect(batches).toEqual([[0, 1], [2, 3], [4]]);
  });
  it('weighs no more than so much; what is heavier goes alone', async () => {
    const { group, batches } = committing({ weight: { of: (item) => item, most: 10 }, maxBatch: 3 });
    for (const item of [5, 5, 1, 20, 3, 3, 3, 1]) group.add(item);
    await group.idle();
    expect(batches).toEqual([[5, 5], [1], [20], [3, 3, 3], [1]]);
  });
});

describe('after a large batch', () => {
  it.each([
    ['waits a little, so that the next is large, too', 100, 1],
    ['does not, when all that is expected waits already', 4, 0],
  ])('%s', async (_, expected, pauses) => {
    let slept = 0;
    const group = createGroupCommit<number>({
      commit: async (items) => {
        if (items.length === 20) for (let i = 0; i < 4; i++) group.add(i);
      },
      onFailure: (error) => {
        throw error;
      },
      sleep: async () => void slept++,
      more: (waiting) => expected > waiting,
    });
    for (let i = 0; i < 20; i++) group.add(i);
    await group.idle();
    expect(slept).toBe(pauses);
  });
});
