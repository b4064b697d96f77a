import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../clock.ts';
import { ApiRefused, type ClusterApi } from './cluster-api.ts';
import { isNodeGone, watchNodes } from './node-directory.ts';

interface Node {
  readonly name: string;
  readonly uid: string;
  readonly labels?: Record<string, string>;
}

/** A cluster's API whose watches are scripted: each says its lines and then ends, or fails. */
function scripted(lists: Node[][], watches: unknown[][]) {
  const said: string[] = [];
  const asked: string[] = [];
  let version = 0;
  const done = Promise.withResolvers<void>();
  const meta = ({ name, uid, labels }: Node) => ({ metadata: { name, uid, resourceVersion: `${++version}`, labels } });
  const api: ClusterApi = {
    get: () => Promise.reject(new Error('nobody asks this')),
    post: () => Promise.reject(new Error('nobody asks this')),
    patch: () => Promise.reject(new Error('nobody asks this')),
    apply: () => Promise.reject(new Error('nobody asks this')),
    namespace: 'openline',
    async list(_path, query) {
      const page = Number(query['continue'] ?? 0);
      asked.push(`list ${page}`);
      const all = lists[0] ?? [];
      // A page has one.
      const more = page + 1 < all.length ? { continue: String(page + 1) } : {};
      if (more.continue === undefined) lists.shift();
      return { metadata: { resourceVersion: 'L', ...more }, items: all.slice(page, page + 1).map(meta) };
    },
    async *watch(_path, query, signal) {
      asked.push(`watch ${query['resourceVersion']}`);
      const lines = watches.shift();
      if (lines === undefined) {
        done.resolve();
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
        return;
      }
      for (const line of lines) {
        if (line instanceof Error) throw line;
        yield line;
      }
    },
  };
  const clock = { sleep: async () => void asked.push('sleep') };
  const directory = watchNodes({
    api,
    clock,
    log: { warn: () => said.push('warn'), info: () => said.push('mended') },
    changed: () =>
      said.push(
        [...(directory.all() ?? new Map()).values()].map(({ name, labels }) => name + JSON.stringify(labels)).join(' '),
      ),
  });
  onTestFinished(() => directory.stop());
  return { directory, said, asked, done: done.promise };
}
const change = (type: string, node: Node, resourceVersion = 'W') => ({
  type,
  object: { metadata: { ...node, resourceVersion } },
});

describe('the nodes of a cluster', () => {
  it('are listed page by page, and then followed', async () => {
    const s = scripted(
      [
        [
          { name: 'a', uid: '1' },
          { name: 'b', uid: '2' },
        ],
      ],
      [
        [
          change('ADDED', { name: 'c', uid: '3', labels: { x: 'y' } }),
          change('MODIFIED', { name: 'b', uid: '2' }),
          change('MODIFIED', { name: 'b', uid: '2', labels: { zone: 'z' } }),
          change('DELETED', { name: 'a', uid: '1' }),
          { type: 'BOOKMARK', object: { metadata: { resourceVersion: 'B' } } },
        ],
      ],
    );
    await s.done;
    expect(s.said).toEqual([
      'a{} b{}',
      'a{} b{} c{"x":"y"}',
      'a{} b{"zone":"z"} c{"x":"y"}',
      'b{"zone":"z"} c{"x":"y"}',
    ]);
    expect(s.asked).toEqual(['list 0', 'list 1', 'watch L', 'watch B']);
  });

  it.each([
    ['says so', [{ type: 'ERROR', object: { code: 410, message: 'too old' } }]],
    ['refuses', [new ApiRefused(410, 'too old')]],
  ])('are listed anew when changes were missed and the API %s', async (_what, gone) => {
    const s = scripted([[{ name: 'a', uid: '1' }], [{ name: 'b', uid: '2' }]], [gone]);
    await s.done;
    expect(s.said.filter((line) => line.endsWith('{}'))).toEqual(['a{}', 'b{}']);
  });

  it('are watched again from where a watch broke, and it is said once that it did', async () => {
    const [reset, first] = [new Error('reset'), change('ADDED', { name: 'b', uid: '2' }, 'V')];
    const s = scripted([[{ name: 'a', uid: '1' }]], [[reset], [first, reset], []]);
    await s.done;
    expect(s.asked).toEqual(['list 0', 'watch L', 'sleep', 'watch L', 'sleep', 'watch V', 'watch V']);
    expect(s.said).toEqual(['a{}', 'warn', 'a{} b{}', 'mended']);
  });

  it('are not watched any more after a stop', async () => {
    const s = scripted([[]], []);
    await s.done;
    s.directory.stop();
    await systemClock.sleep(5);
    expect(s.asked).toEqual(['list 0', 'watch L']);
  });
});

describe('a node that nobody knows here', () => {
  const asked = (answer: unknown) => ({
    get: () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)),
  });
  const node = (uid: string) => ({ metadata: { name: 'a', uid, resourceVersion: '1' } });

  it('is gone when the cluster says so, or has another one of its name', async () => {
    expect(await isNodeGone(asked(node('1')), 'a', '1')).toBe(false);
    expect(await isNodeGone(asked(node('2')), 'a', '1')).toBe(true);
    expect(await isNodeGone(asked(new ApiRefused(404, 'not found')), 'a', '1')).toBe(true);
  });

  it('is not gone because the cluster cannot say', async () => {
    for (const error of [new ApiRefused(403, 'forbidden'), new Error('ECONNREFUSED')])
      await expect(isNodeGone(asked(error), 'a', '1')).rejects.toBe(error);
  });
});
