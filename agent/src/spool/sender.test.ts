import type { EventBatch, EventRecord } from '@openline/proto/agent';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../tasks/clock.ts';
import { quiet, until } from '../tasks/testing/support.ts';
import { createEventSender, type EventSender } from './sender.ts';

/** A spool of so many records that are all on disk, each a batch of its own. */
function spoolOf(count: number) {
  let acked = 0;
  return {
    count,
    id: 'spool',
    async read(after: number): Promise<EventRecord[]> {
      await Promise.resolve();
      return after < this.count ? [{ seq: BigInt(after + 1), atUnixMs: 0n }] : [];
    },
    acknowledged(seq: number) {
      acked = Math.max(acked, seq);
    },
    acked: () => acked,
  };
}

let sent: EventBatch[];
let timers: (() => void)[];
let spool: ReturnType<typeof spoolOf>;
let sender: EventSender;

const clock: Clock = {
  nowMs: () => 0,
  unixMs: () => 0,
  after(_delayMs, run) {
    timers.push(run);
    return {
      cancel() {
        timers = timers.filter((one) => one !== run);
      },
    };
  },
};
const seqs = () => sent.map(({ afterSeq, records }) => `${afterSeq}: ${records.map(({ seq }) => seq).join(' ')}`);

beforeEach(() => {
  sent = [];
  timers = [];
  spool = spoolOf(10);
  sender = createEventSender({ clock, log: quiet, spool, send: (batch) => sent.push(batch) > 0 });
});

describe('an event sender', () => {
  it('has four batches under way, and another for each that is acknowledged', async () => {
    sender.opened(true);
    await until(() => sent.length === 4);
    sender.acknowledged('spool', 2);
    await until(() => sent.length === 6);
    expect(seqs()).toEqual(['0: 1', '1: 2', '2: 3', '3: 4', '4: 5', '5: 6']);
  });

  it('begins the next session with the first that is not acknowledged', async () => {
    sender.opened(true);
    await until(() => sent.length === 4);
    sender.acknowledged('spool', 1);
    sender.closed();
    sent = [];
    sender.opened(true);
    await until(() => sent.length === 4);
    expect(seqs()).toEqual(['1: 2', '2: 3', '3: 4', '4: 5']);
  });

  it('sends again what nobody acknowledges', async () => {
    sender.opened(true);
    await until(() => sent.length === 4);
    expect(timers).toHaveLength(1);
    timers[0]?.();
    await until(() => sent.length === 8);
    expect(seqs().slice(4)).toEqual(seqs().slice(0, 4));
  });

  it('says nothing to a server that takes no events, and goes on at one that does', async () => {
    sender.opened(false);
    sender.kick();
    await new Promise(setImmediate);
    expect(sent).toEqual([]);
    sender.closed();
    sender.opened(true);
    await until(() => sent.length === 4);
  });

  it('sends what is new when it is told, and takes no word on another spool', async () => {
    spool.count = 1;
    sender.opened(true);
    await until(() => sent.length === 1);
    sender.acknowledged('another', 1);
    expect(spool.acked()).toBe(0);
    sender.acknowledged('spool', 1);
    expect(timers).toEqual([]);
    spool.count = 2;
    sender.kick();
    await until(() => sent.length === 2);
    expect(seqs().at(-1)).toBe('1: 2');
  });
});
