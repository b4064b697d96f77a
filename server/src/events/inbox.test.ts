import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventBatch, ObservedRecord } from './event.ts';
import { createInbox } from './inbox.ts';

const gap = (seq: number): ObservedRecord => ({ kind: 'gap', seq, at: new Date(0), log: 'l', reason: 'r', events: 1 });
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const batch = (from: number, to: number, over: Partial<EventBatch> = {}): EventBatch => ({
  agentId: 'a',
  epoch: 1,
  spoolId: 's',
  records: range(from, to).map(gap),
  firstSeq: from,
  lastSeq: to,
  afterSeq: from - 1,
  weight: 100,
  arrivedMs: from,
  clockBehindMs: 0,
  ...over,
});
const seqs = (piece: { records: readonly ObservedRecord[] } | undefined) => piece?.records.map(({ seq }) => seq);

describe('the inbox', () => {
  it('gives out each batch in pieces, in order', () => {
    const inbox = createInbox();
    inbox.put(batch(1, 5));
    inbox.put(batch(6, 6));
    const first = inbox.next('a', 3) ?? expect.fail();
    expect([seqs(first), first.lastSeq]).toEqual([[1, 2, 3], 3]);
    expect(seqs(inbox.next('a', 3))).toEqual([1, 2, 3]);
    expect(inbox.done(first)).toBeUndefined();
    const second = inbox.next('a', 3) ?? expect.fail();
    expect([seqs(second), second.lastSeq]).toEqual([[4, 5], 5]);
    expect(inbox.done(second)).toBe(1);
    expect(inbox.done(inbox.next('a', 3) ?? expect.fail())).toBe(6);
    expect([inbox.has('a'), inbox.next('a', 3)]).toEqual([false, undefined]);
  });

  it('acknowledges records of unknown kinds with those around them', () => {
    const inbox = createInbox();
    inbox.put(batch(1, 9, { records: [gap(2), gap(5)] }));
    const first = inbox.next('a', 1) ?? expect.fail();
    expect(first.lastSeq).toBe(2);
    inbox.done(first);
    expect(inbox.next('a', 1)?.lastSeq).toBe(9);
    const nothing = createInbox();
    nothing.put(batch(1, 9, { records: [] }));
    expect(nothing.next('a', 1)).toMatchObject({ records: [], lastSeq: 9 });
  });

  it('leaves unread what an agent sends beyond its bound, and all that follows, until it begins there again', () => {
    const inbox = createInbox();
    for (const n of range(1, 4)) expect(inbox.put(batch(n, n))).toBe(true);
    expect(inbox.put(batch(5, 5))).toBe(false);
    inbox.done(inbox.next('a', 9) ?? expect.fail());
    expect(inbox.put(batch(6, 6))).toBe(false);
    // It has dropped number 5 meanwhile, and begins behind what was acknowledged.
    expect(inbox.put(batch(6, 7, { afterSeq: 1 }))).toBe(true);
    expect(inbox.put(batch(8, 8))).toBe(false);
  });

  it('has room for so much of all agents together', () => {
    const inbox = createInbox(250);
    expect(['a', 'b', 'c'].map((agentId) => inbox.put(batch(1, 1, { agentId })))).toEqual([true, true, false]);
    inbox.done(inbox.next('a', 1) ?? expect.fail());
    expect(inbox.put(batch(2, 2, { agentId: 'c' }))).toBe(false);
    expect(inbox.put(batch(1, 2, { agentId: 'c' }))).toBe(true);
  });

  it('forgets what an older session sent, which comes again, and takes nothing of it any more', () => {
    const inbox = createInbox();
    inbox.put(batch(1, 3));
    const old = inbox.next('a', 9) ?? expect.fail();
    inbox.put(batch(1, 2, { epoch: 2 }));
    expect(inbox.put(batch(4, 4))).toBe(false);
    // The old piece was fenced: it says nothing of the new one.
    expect(inbox.done(old)).toBeUndefined();
    inbox.refuse(old);
    expect(seqs(inbox.next('a', 9))).toEqual([1, 2]);
  });

  it('whatever is sent in whatever order: nothing is given out behind a record that was left unread', () => {
    /** An agent that sends windows of its spool, goes back at times, and hears of what was given out. */
    const move = fc.oneof(
      fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant('commit' as const), most: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constantFrom('again' as const, 'refuse' as const, 'reconnect' as const) }),
    );
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const inbox = createInbox(700);
        let [acked, sent, epoch] = [0, 0, 1];
        const committed: number[] = [];
        for (const each of moves) {
          if (each.kind === 'send') {
            inbox.put(batch(sent + 1, sent + each.count, { epoch, afterSeq: sent }));
            sent += each.count;
          } else if (each.kind === 'commit') {
            const piece = inbox.next('a', each.most);
            if (piece === undefined) continue;
            committed.push(...(seqs(piece) ?? []).filter((seq) => seq > acked));
            inbox.done(piece);
            acked = Math.max(acked, piece.lastSeq);
            sent = Math.max(sent, acked);
          } else if (each.kind === 'refuse') {
            const piece = inbox.next('a', 9);
            if (piece !== undefined) inbox.refuse(piece);
          } else {
            if (each.kind === 'reconnect') epoch++;
            sent = acked;
          }
        }
        expect(committed).toEqual(range(1, acked));
      }),
      { numRuns: 500 },
    );
  });
});
