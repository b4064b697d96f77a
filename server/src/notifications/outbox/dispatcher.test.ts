import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DeclaredObject } from '../../declared/declared.ts';
import type { ChannelSpec } from '../channels/channel.ts';
import type { Delivery } from '../senders/sender.ts';
import { channelSpec, claimedOf } from '../testing/outbox.ts';
import { createDispatcher } from './dispatcher.ts';
import type { Claimed, OutboxStore } from './outbox-store.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A store whose answers the test gives, one channel `tell`, and a sender that waits for the test. */
function setUp({ alone = true, concurrency = 2 } = {}) {
  const claims: ((claimed: Claimed[]) => void)[] = [];
  const sending = new Map<string, (delivery: Delivery) => void>();
  const released: string[][] = [];
  const shifts: { byMs: number; end(): void }[] = [];
  const renewed: string[][] = [];
  const ended: string[] = [];
  const store: OutboxStore = {
    claim: () => new Promise((resolve) => claims.push(resolve)),
    renew: async (_owner, held) => void renewed.push([...held]),
    release: async (ids) => void released.push([...ids]),
    handOver: async () => true,
    finish: async (id, _owner, ending) => {
      ended.push(`${id} ${ending.kind}`);
      return true;
    },
    recover: async () => [],
    hurry: async () => {},
    shift: (byMs) => new Promise((end) => shifts.push({ byMs, end })),
  };
  let channels: DeclaredObject<ChannelSpec>[] = [declared(channelSpec({ concurrency, timeoutMs: 60_000 }))];
  let onChange: () => void = () => {};
  const wall = { jumpMs: 0 };
  const dispatcher = createDispatcher({
    store,
    channels: {
      get: (name) => channels.find((each) => each.name === name),
      list: () => channels,
      onChange(listener) {
        onChange = listener;
      },
    },
    subscriptions: { get: () => undefined },
    createSender: () => ({
      send: ({ id }, { signal }) =>
        new Promise((resolve) => {
          sending.set(id, resolve);
          signal.addEventListener('abort', () => resolve({ kind: 'away', reason: 'aborted' }));
        }),
      close() {},
    }),
    readAlerts: async () => new Map(),
    maintenanceOf: async () => new Map(),
    clock: {
      nowMs: () => performance.now(),
      now: () => new Date(Date.now() + wall.jumpMs),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          setTimeout(resolve, ms);
          signal?.addEventListener('abort', () => resolve());
        }),
    },
    random: () => 0,
    newId: () => 'new',
    owner: 'me',
    alone,
    observe() {},
    observeDelay() {},
    log: { info() {}, warn() {}, error() {} },
  });
  return {
    dispatcher,
    sending,
    released,
    renewed,
    shifts,
    ended,
    wall,
    /** Answers the oldest open claim. */
    async claimed(...ids: string[]) {
      await vi.advanceTimersByTimeAsync(10);
      const answer = claims.shift();
      if (answer === undefined) throw new Error('nothing was claimed');
      answer(ids.map((id) => claimedOf(id, { dueAt: new Date() })));
      await vi.advanceTimersByTimeAsync(10);
    },
    change(next: DeclaredObject<ChannelSpec>[]) {
      channels = next;
      onChange();
    },
  };
}

function declared(spec: ChannelSpec): DeclaredObject<ChannelSpec> {
  return { name: 'tell', spec, updatedBy: 'alice', updatedAt: new Date(0) };
}

describe('what is claimed', () => {
  it('and waits for its turn is sent when there is room, without another question to the database', async () => {
    const { dispatcher, claimed, sending, ended } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b');
    expect([...sending.keys()]).toEqual(['a']);
    sending.get('a')?.({ kind: 'delivered', answer: 'OK' });
    await vi.advanceTimersByTimeAsync(10);
    expect([...sending.keys()]).toEqual(['a', 'b']);
    expect(ended).toEqual(['a sent']);
  });

  it('is renewed while it waits or is under way, and nothing else', async () => {
    const { dispatcher, claimed, renewed } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b');
    await vi.advanceTimersByTimeAsync(15_000);
    expect(renewed[0]?.sort()).toEqual(['a', 'b']);
  });

  it('is given back when its channel turns out to be away', async () => {
    const { dispatcher, claimed, sending, released } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b', 'c');
    sending.get('a')?.({ kind: 'away', reason: 'ECONNREFUSED' });
    await vi.advanceTimersByTimeAsync(10);
    expect(released).toEqual([['b', 'c']]);
    expect(dispatcher.fault('tell')).toBe('ECONNREFUSED');
  });

  it('for a channel that was deleted meanwhile is given back, and so is what waited for it', async () => {
    const { dispatcher, claimed, change, released, sending } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b');
    sending.get('a')?.({ kind: 'delivered', answer: 'OK' });
    await vi.advanceTimersByTimeAsync(10);
    change([]);
    await claimed('c');
    expect(released).toEqual([['c']]);
  });

  it('waits for a channel that changes, and is given back: the new one begins anew', async () => {
    const { dispatcher, claimed, change, released } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b');
    change([declared(channelSpec({ concurrency: 3 }))]);
    expect(released).toEqual([['b']]);
  });
});

describe('a dispatcher that is stopped', () => {
  it('gives back what waits, and what it was just claiming', async () => {
    const { dispatcher, claimed, released, sending, ended } = setUp({ concurrency: 1 });
    await dispatcher.start();
    await claimed('a', 'b');
    dispatcher.wake();
    await vi.advanceTimersByTimeAsync(10);
    const stopped = dispatcher.stop(5_000);
    sending.get('a')?.({ kind: 'delivered', answer: 'OK' });
    await claimed('c');
    await stopped;
    expect(released).toEqual([['b'], ['c']]);
    expect(ended).toEqual(['a sent']);
  });

  it('ends what takes longer than its grace, and says so', async () => {
    const { dispatcher, claimed, ended } = setUp();
    await dispatcher.start();
    await claimed('a');
    const stopped = dispatcher.stop(5_000);
    await vi.advanceTimersByTimeAsync(5_000);
    await stopped;
    expect(ended).toEqual(['a again']);
  });
});

describe('a wall clock that is moved', () => {
  it('moves what waits once, however slow the database is', async () => {
    const { dispatcher, shifts, wall } = setUp();
    await dispatcher.start();
    wall.jumpMs = -3600_000;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(shifts.map(({ byMs }) => Math.round(byMs / 1000))).toEqual([-3600]);
    shifts[0]?.end();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(shifts).toHaveLength(1);
  });

  it('by little, or beside other replicas, moves nothing', async () => {
    const little = setUp();
    await little.dispatcher.start();
    little.wall.jumpMs = 4_000;
    const beside = setUp({ alone: false });
    await beside.dispatcher.start();
    beside.wall.jumpMs = 3600_000;
    await vi.advanceTimersByTimeAsync(3_000);
    expect([...little.shifts, ...beside.shifts]).toEqual([]);
  });
});
