import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../clock.ts';
import { ApiRefused, type ClusterApi } from './cluster-api.ts';
import { watchNodes } from './node-directory.ts';

interface Node {
  readonly name: string;
  readonly uid: string;
  readonly labels?: Record<string, string>;
}

/** A cluster's API whose watches are scripted: each says its lines and then ends, or fails. */
function scripted(lists: Node[][], watches: (unknown[] | Error)[]) {
  const said: string[] = [];
  const asked: string[] = [];
  let version = 0;
  const done = Promise.withResolvers<void>();
  const meta = ({ name, uid, labels }: Node) => ({ metadata: { name, uid, resourceVersion: `${++version}`, labels } });
  const api: ClusterApi = {
    get: () => Promise.reject(new Error('nobody asks this')),
    post: () => Promise.reject(new Error('nobody asks this')),
    patch: () => Promise.reject(new Error('nobody asks this')),
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
      if (lines instanceof Error) throw lines;
      for (const line of lines) yield line;
    },
  };
  const clock = { sleep: async () => void asked.push('sleep') };
  const directory = watchNodes({
    api,
    clock,
    log: { warn: () => said.push('warn'), info: () => said.push('mended') },
    listed: (nodes) => said.push(`all ${[...nodes.values()].map(({ name }) => name)}`),
    changed: ({ name, labels }) => said.push(`changed ${name} ${JSON.stringify(labels)}`),
    deleted: ({ name }) => said.push(`deleted ${name}`),
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
    expect(s.said).toEqual(['all a,b', 'changed c {"x":"y"}', 'changed b {"zone":"z"}', 'deleted a']);
    expect(s.asked).toEqual(['list 0', 'list 1', 'watch L', 'watch B']);
    expect(s.directory.get('2')?.labels).toEqual({ zone: 'z' });
    expect(s.directory.get('1')).toBeUndefined();
  });

  it.each([
    ['says so', [{ type: 'ERROR', object: { code: 410, message: 'too old' } }]],
    ['refuses', new ApiRefused(410, 'too old')],
  ])('are listed anew when changes were missed and the API %s', async (_what, gone) => {
    const s = scripted([[{ name: 'a', uid: '1' }], [{ name: 'b', uid: '2' }]], [gone]);
    await s.done;
    expect(s.said.filter((line) => line.startsWith('all'))).toEqual(['all a', 'all b']);
    expect(s.directory.get('1')).toBeUndefined();
  });

  it('are watched again from where a watch broke, and it is said once that it did', async () => {
    const s = scripted([[{ name: 'a', uid: '1' }]], [new Error('reset'), new Error('reset'), []]);
    await s.done;
    expect(s.asked).toEqual(['list 0', 'watch L', 'sleep', 'watch L', 'sleep', 'watch L', 'watch L']);
    expect(s.said).toEqual(['all a', 'warn', 'mended']);
  });

  it('are not watched any more after a stop', async () => {
    const s = scripted([[]], []);
    await s.done;
    s.directory.stop();
    await systemClock.sleep(5);
    expect(s.asked).toEqual(['list 0', 'watch L']);
  });
});
