import { describe, expect, it } from 'vitest';
import { createBatcher } from './batcher.ts';

/** Work that ends when the test says so. */
function setUp(maxItems?: number) {
  const batches: { items: readonly number[]; end(results: readonly string[]): void; fail(error: Error): void }[] = [];
  let told: () => void = () => {};
  const ask = createBatcher(
    (items: readonly number[]) =>
      new Promise<readonly string[]>((resolve, reject) => {
        batches.push({ items, end: resolve, fail: reject });
        told();
      }),
    maxItems,
  );
  const begun = async (count: number) => {
    while (batches.length < count) await new Promise<void>((resolve) => (told = resolve));
    return batches[count - 1] as (typeof batches)[number];
  };
  return { ask, begun };
}
const answers = (items: readonly number[]) => items.map((item) => `done ${item}`);

describe('work that is asked for one by one', () => {
  it('at the same moment is done together, and each gets its own answer', async () => {
    const { ask, begun } = setUp();
    const asked = Promise.all([1, 2, 3].map(ask));
    const first = await begun(1);
    expect(first.items).toEqual([1, 2, 3]);
    first.end(answers(first.items));
    expect(await asked).toEqual(['done 1', 'done 2', 'done 3']);
  });

  it('while a batch is under way is the next one, and no larger than the limit', async () => {
    const { ask, begun } = setUp(2);
    const asked = [ask(1)];
    const first = await begun(1);
    asked.push(...[2, 3, 4].map(ask));
    first.end(answers(first.items));
    const second = await begun(2);
    expect(second.items).toEqual([2, 3]);
    second.end(answers(second.items));
    const third = await begun(3);
    expect(third.items).toEqual([4]);
    third.end(answers(third.items));
    expect(await Promise.all(asked)).toEqual(['done 1', 'done 2', 'done 3', 'done 4']);
  });

  it('fails with its batch, and what comes after is done all the same', async () => {
    const { ask, begun } = setUp();
    const asked = Promise.allSettled([ask(1), ask(2)]);
    (await begun(1)).fail(new Error('the database is away'));
    expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const later = ask(3);
    const second = await begun(2);
    second.end(answers(second.items));
    expect(await later).toBe('done 3');
  });

  it('hears of it when the batch has no answer for it', async () => {
    const { ask, begun } = setUp();
    const asked = Promise.allSettled([ask(1), ask(2)]);
    (await begun(1)).end(['done 1']);
    expect(await asked).toMatchObject([
      { status: 'fulfilled', value: 'done 1' },
      { status: 'rejected', reason: { message: 'the batch has no answer for this item' } },
    ]);
  });
});
