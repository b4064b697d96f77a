import { beforeEach, describe, expect, it } from 'vitest';
import { withTestDatabase } from '../../db/testing.ts';
import { inTransaction } from '../../db/transaction.ts';
import { createOutboxStore, type OutboxStore, type Recovery } from './outbox-store.ts';
import { insertNotifications } from './planning-store.ts';

const db = withTestDatabase();
const NOW = new Date('2026-01-01T12:00:00Z');
const MINUTE = 60_000;
let store: OutboxStore;
beforeEach(() => {
  store = createOutboxStore(db.pool);
});

/** One message of a channel, each in a thread of its own. */
async function add(...ids: readonly string[]): Promise<void> {
  const rows = ids.map((id) => ({
    id,
    dedupe: id,
    kind: 'opened' as const,
    subscription: 'all',
    step: 0,
    channel: id.startsWith('resend') ? 'twice' : 'tell',
    channelKind: 'command',
    recipients: [],
    thread: id,
    rootId: id,
    alertId: undefined,
    condition: '' as const,
    dueAt: NOW,
    byWallClock: id.startsWith('clock'),
  }));
  await inTransaction(db.pool, (tx) => insertNotifications(tx, rows, NOW));
}
const ROOMS = new Map([
  ['tell', 10],
  ['twice', 10],
]);
const claim = (owner: string, leaseMs = MINUTE) => store.claim(owner, ROOMS, NOW, leaseMs);
const recover = (owner: string, over: Partial<Recovery> = {}) =>
  store.recover({ owner, held: [], strayMs: MINUTE / 2, alone: false, resend: ['twice'], ...over }, NOW);
async function rows() {
  const { rows } = await db.pool.query(
    'select id, state, attempts, claimed_by as owner, due_at, try_at, reason, answer from notifications order by seq',
  );
  return rows;
}
const states = async () => Object.fromEntries((await rows()).map(({ id, state }) => [id, state]));

describe('what a process that is gone had claimed', () => {
  it('is left alone until its lease has ended, then taken up', async () => {
    await add('a');
    await claim('gone');
    expect(await recover('me')).toEqual([]);
    await db.pool.query("update notifications set lease_until = now() - interval '1 second'");
    expect(await recover('me')).toEqual([{ state: 'pending', channelKind: 'command' }]);
    expect((await claim('me')).map(({ id, attempts }) => [id, attempts])).toEqual([['a', 2]]);
  });

  it('is taken up at once by a process that is alone, and is uncertain where it had been handed over', async () => {
    await add('a', 'b', 'resend-c');
    await claim('gone');
    await store.handOver('b', 'gone');
    await store.handOver('resend-c', 'gone');
    expect(await recover('me', { alone: true })).toHaveLength(3);
    expect(await states()).toEqual({ a: 'pending', b: 'uncertain', 'resend-c': 'pending' });
  });

  it('cannot be handed over, given back or ended by it any more, when it was only slow', async () => {
    await add('a');
    await claim('slow');
    await recover('me', { alone: true });
    await claim('me');
    expect(await store.handOver('a', 'slow')).toBe(false);
    await store.release(['a'], 'slow');
    expect(await store.finish('a', 'slow', { kind: 'sent', answer: 'OK' }, NOW)).toBe(false);
    expect(await rows()).toMatchObject([{ state: 'sending', owner: 'me' }]);
  });

  it('is no longer uncertain when its answer is recorded late', async () => {
    await add('a');
    await claim('slow');
    await store.handOver('a', 'slow');
    await recover('me', { alone: true });
    expect(await store.finish('a', 'slow', { kind: 'sent', answer: 'OK' }, NOW)).toBe(true);
    expect(await states()).toEqual({ a: 'sent' });
  });
});

describe('what a process has claimed itself', () => {
  it('is left alone while it holds it, however old the lease is', async () => {
    await add('a');
    await claim('me', 1);
    expect(await recover('me', { held: ['a'], alone: true })).toEqual([]);
  });

  it('is taken up when the answer to the claim never came', async () => {
    await add('lost', 'held');
    await claim('me');
    // A moment ago: its answer may still be on its way.
    expect(await recover('me', { held: ['held'] })).toEqual([]);
    await db.pool.query("update notifications set lease_until = now() + interval '20 seconds'");
    await store.renew('me', ['held'], MINUTE);
    expect(await recover('me')).toHaveLength(1);
    expect(await states()).toEqual({ lost: 'pending', held: 'sending' });
  });

  it('and gives back is as if it never had been', async () => {
    await add('a', 'b');
    await claim('me');
    await store.handOver('b', 'me');
    await store.release(['a', 'b'], 'me');
    expect(await rows()).toMatchObject([
      { id: 'a', state: 'pending', attempts: 0, owner: '' },
      { id: 'b', state: 'handing_over', attempts: 1, owner: 'me' },
    ]);
  });

  it('and was not tried is due later, and has lost no attempt', async () => {
    await add('a', 'b');
    await claim('me');
    const tryAt = new Date(NOW.getTime() + MINUTE);
    await store.finish('a', 'me', { kind: 'again', reason: 'maintenance', tryAt, quiet: true }, NOW);
    await store.finish('b', 'me', { kind: 'again', reason: 'greylisted', tryAt }, NOW);
    expect(await rows()).toMatchObject([
      { id: 'a', state: 'pending', attempts: 0, due_at: tryAt, try_at: tryAt },
      { id: 'b', state: 'pending', attempts: 1, due_at: NOW, try_at: tryAt },
    ]);
  });

  it('ends whatever the other side answers', async () => {
    await add('a', 'b');
    await claim('me');
    const ended = [
      store.finish('a', 'me', { kind: 'sent', answer: 'OK\0 queued' }, NOW),
      store.finish('b', 'me', { kind: 'dead', reason: '554 \0' }, NOW),
    ];
    expect(await Promise.all(ended)).toEqual([true, true]);
    expect(await rows()).toMatchObject([{ answer: 'OK queued' }, { reason: '554 ' }]);
  });
});

describe('a wall clock that is moved', () => {
  it('takes with it what waits for a time to pass, and leaves what waits for a time of day', async () => {
    await add('a', 'clock');
    await store.shift(-30 * MINUTE);
    const earlier = new Date(NOW.getTime() - 30 * MINUTE);
    expect(await rows()).toMatchObject([
      { id: 'a', due_at: earlier, try_at: earlier },
      { id: 'clock', due_at: NOW, try_at: NOW },
    ]);
  });
});
