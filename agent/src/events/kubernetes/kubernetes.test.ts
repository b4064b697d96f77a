import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Position } from '../source.ts';
import { type FakeApi, startFakeApi } from '../testing/kubernetes-api.ts';
import { read, testDeps } from '../testing/scratch.ts';
import { testSink } from '../testing/sink.ts';
import { parseItem } from './item.ts';
import { encodeProgress, newProgress, parseProgress, takeNew } from './progress.ts';
import { createKubernetesSource } from './source.ts';

const source = (api: FakeApi, more: object = {}) =>
  createKubernetesSource(testDeps, { ...api, nodeName: 'node-1', ...more });

/** From now on, in both its watches. */
async function reading(api: FakeApi, position?: Position, more: object = {}) {
  const sink = read(source(api, more), position);
  await untilWatched(api);
  return sink;
}

const watchesOf = (api: FakeApi) => api.requests.filter((request) => request.includes('watch=1'));

async function untilWatched(api: FakeApi, times = 1): Promise<void> {
  for (const what of ['Node', 'Pod'])
    await vi.waitFor(() =>
      expect(watchesOf(api).filter((one) => one.includes(`kind=${what}`)).length).toBeGreaterThanOrEqual(times),
    );
}

/** Stops as soon as it holds. @returns what there is to remember */
async function readUntil(api: FakeApi, position: Position | undefined, count: number) {
  const sink = testSink();
  const one = source(api);
  one.start(position, sink);
  await untilWatched(api);
  await sink.untilEvents(count);
  await one.stop();
  api.requests.splice(0);
  return sink;
}

const ids = (sink: { events(): { id: string; data: Readonly<Record<string, unknown>> }[] }) =>
  sink.events().map(({ id, data }) => `${id} ${data['count']}`);

describe('an event of Kubernetes', () => {
  it('has who said it, why, of what, and how often', () => {
    const value = {
      metadata: { uid: 'u', resourceVersion: '7', creationTimestamp: '2024-01-02T03:04:05Z' },
      involvedObject: { kind: 'Pod', name: 'web-0', namespace: 'shop', fieldPath: 'spec.containers{web}' },
      reason: 'BackOff',
      message: 'Back-off restarting failed container',
      source: { component: 'kubelet', host: 'node-1' },
      lastTimestamp: '2024-01-02T03:05:00Z',
      count: 5,
      type: 'Warning',
    };
    expect(parseItem(value, 0)).toEqual({
      uid: 'u',
      version: '7',
      count: 5,
      node: 'node-1',
      event: {
        log: 'kubernetes',
        source: 'kubelet',
        id: 'BackOff',
        level: 'warning',
        atUnixMs: Date.UTC(2024, 0, 2, 3, 5),
        message: 'Back-off restarting failed container',
        data: {
          count: 5,
          type: 'Warning',
          kind: 'Pod',
          name: 'web-0',
          namespace: 'shop',
          field_path: 'spec.containers{web}',
          node: 'node-1',
        },
      },
    });
  });

  it('may be of the newer kind, with a series', () => {
    const value = {
      metadata: { uid: 'u', resourceVersion: '7' },
      reportingComponent: 'kubelet',
      reportingInstance: 'node-2',
      eventTime: '2024-01-02T03:04:05.678901Z',
      series: { count: 9, lastObservedTime: '2024-01-02T03:06:00.000000Z' },
    };
    expect(parseItem(value, 0)).toMatchObject({
      count: 9,
      node: 'node-2',
      event: { atUnixMs: Date.UTC(2024, 0, 2, 3, 6), id: '', message: '' },
    });
    expect(parseItem({ metadata: {} }, 0)).toBeUndefined();
    expect(parseItem('x', 0)).toBeUndefined();
  });
});

describe('what was told', () => {
  const item = (uid: string, version: number, count: number) => {
    const parsed = parseItem({ metadata: { uid, resourceVersion: String(version) }, count }, 0);
    if (parsed === undefined) throw new Error('no item');
    return parsed;
  };

  it('is told once by each count, whatever is listed and watched in between, and never less than the last count', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('happens' as const), uid: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constantFrom('list' as const, 'watch' as const, 'restart' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let progress = newProgress();
        const store = new Map<string, { version: number; count: number }>();
        let version = 1;
        const told: string[] = [];
        const tell = (uid: string, listed?: string) => {
          const { version: at = 0, count = 0 } = store.get(uid) ?? {};
          if (takeNew(progress, item(uid, at, count), listed)) told.push(`${uid} ${count}`);
        };
        const pending = new Set<string>();
        progress.version = '1';
        for (const one of [...steps, { kind: 'list' as const }]) {
          if (one.kind === 'happens') {
            store.set(one.uid, { version: ++version, count: (store.get(one.uid)?.count ?? 0) + 1 });
            pending.add(one.uid);
          } else if (one.kind === 'restart')
            progress = parseProgress(JSON.parse(JSON.stringify(encodeProgress(progress)))) ?? newProgress();
          else {
            if (one.kind === 'list') for (const uid of store.keys()) tell(uid, String(version));
            else for (const uid of pending) tell(uid);
            pending.clear();
            progress.version = String(version);
          }
        }
        expect(new Set(told).size).toBe(told.length);
        for (const [uid, { count }] of store) expect(told).toContain(`${uid} ${count}`);
      }),
    );
  });

  it('says nothing of versions where the store was restored to an older one', () => {
    const progress = { ...newProgress(), version: '500' };
    expect(takeNew(progress, item('a', 400, 1), '600')).toBe(false);
    expect(takeNew(progress, item('b', 40, 1), '60')).toBe(true);
    expect(takeNew(progress, item('b', 40, 1), '60')).toBe(false);
  });
});

describe('the node’s events in a cluster', () => {
  it('are told from now on, with those of its pods, over TLS with the account of the pod', async () => {
    const api = await startFakeApi();
    for (let number = 0; number < 7; number++) api.event(`History${number}`);
    const sink = await reading(api);
    api.event('NodeNotReady', { type: 'Warning' });
    api.event('OtherNode', { object: 'node-2' });
    api.event('BackOff', { kind: 'Pod', object: 'web-0', namespace: 'shop' });
    api.event('Elsewhere', { kind: 'Pod', object: 'web-1', namespace: 'shop', host: 'node-2' });
    api.event('NodeNotReady');
    await sink.untilEvents(3);
    expect(ids(sink).sort()).toEqual(['BackOff 1', 'NodeNotReady 1', 'NodeNotReady 2']);
    expect(api.requests.join()).toContain('/api/v1/namespaces/default/events?');
  });

  it('are told once over restarts of the agent, and of repetitions each new count', async () => {
    const api = await startFakeApi();
    api.event('History');
    const before = await readUntil(api, undefined, 0);
    api.event('A');
    const first = await readUntil(api, before.position(), 1);
    api.event('A');
    api.event('B');
    api.remove('B');
    api.event('A', { note: 'somebody changed it' });
    const second = await readUntil(api, first.position(), 2);
    const third = await reading(api, second.position());
    api.event('C');
    await third.untilEvents(1);
    expect([...ids(first), ...ids(second), ...ids(third)]).toEqual(['A 1', 'A 2', 'B 1', 'C 1']);
    expect(third.gaps).toEqual([]);
  });

  it('are listed again where the cluster forgot the changes since, and only what is new is told', async () => {
    const api = await startFakeApi();
    // More than are remembered one by one.
    for (let number = 0; number < 70; number++) api.event(`History${number}`);
    const before = await readUntil(api, undefined, 0);
    api.event('A');
    api.event('B');
    const first = await readUntil(api, before.position(), 2);
    api.event('B');
    for (const name of ['C', 'D', 'E', 'F']) api.event(name);
    api.compact();
    const sink = await reading(api, first.position());
    await sink.untilEvents(5);
    expect(ids(sink).sort()).toEqual(['B 2', 'C 1', 'D 1', 'E 1', 'F 1']);
    api.event('A');
    await sink.untilEvents(6);
    expect(ids(sink).at(-1)).toBe('A 2');
  });

  it('come on where a watch ends or breaks, and nothing of it is told twice', async () => {
    const api = await startFakeApi();
    const sink = await reading(api);
    api.event('A');
    await sink.untilEvents(1);
    api.dropWatches();
    api.event('B');
    await sink.untilEvents(2);
    await untilWatched(api, 2);
    api.breakWatches();
    api.event('A');
    await sink.untilEvents(3);
    expect(ids(sink)).toEqual(['A 1', 'B 1', 'A 2']);
    expect(sink.faults[0]).toContain('cannot be read from 127.0.0.1');
    expect(sink.faults.at(-1)).toBe('');
  });

  it('are remembered up to a bookmark, also when nothing of ours happens', async () => {
    const api = await startFakeApi();
    const sink = await reading(api);
    const position = sink.position();
    for (let number = 0; number < 3; number++) api.event(`x${number}`, { object: 'node-2' });
    api.bookmark();
    await sink.until(() => sink.position() !== position);
    expect(sink.position()).toContain('"version":"103"');
  });

  it('are told without those of pods, where these may not be read, until they may', async () => {
    const api = await startFakeApi();
    api.refuse.set('/api/v1/events', 403);
    const sink = read(source(api, { forbiddenRetryMs: 20 }));
    await vi.waitFor(() => expect(watchesOf(api)).toHaveLength(1));
    api.event('A');
    await sink.untilEvents(1);
    expect(sink.faults).toEqual([]);
    api.refuse.clear();
    await untilWatched(api);
    api.event('P', { kind: 'Pod' });
    await sink.untilEvents(2);
  });

  it('that may not be read are a fault that says what to permit; a new token is taken from its file', async () => {
    const api = await startFakeApi();
    api.refuse.set('/api/v1/namespaces/default/events', 403);
    const clock = {
      ...testDeps.clock,
      after: (delayMs: number, run: () => void) => testDeps.clock.after(Math.min(delayMs, 10), run),
    };
    const sink = read(createKubernetesSource({ ...testDeps, clock }, { ...api, nodeName: 'node-1' }));
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toMatch(
      /may not be read; let the agent’s service account list and watch events .*\(403 events is forbidden\)/,
    );
    api.token('second');
    api.refuse.clear();
    await untilWatched(api);
    await sink.until(() => sink.faults.at(-1) === '');
  });

  it('are asked of nobody with another certificate, nor without an account', async () => {
    const api = await startFakeApi();
    const other = await startFakeApi();
    const sink = read(source({ ...api, port: other.port }));
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toMatch(/cannot be read from 127.0.0.1:\d+: .*certificate/);
    expect(other.requests).toEqual([]);
    rmSync(api.accountDirectory, { recursive: true });
    const without = read(source(api));
    await without.until(() => without.faults.length > 0);
    expect(without.faults[0]).toContain('let the pod mount its token');
  });
});
