import type { TaskOutput } from '@openline/proto/agent';
import { beforeEach, describe, expect, it } from 'vitest';
import { STDOUT } from '../testing/support.ts';
import { createOutputSender, type OutputSender } from './sender.ts';
import type { Chunk, OutputSpool } from './spool.ts';

/** A spool in memory: chunk i is at position i. */
function spoolOf(chunks: Chunk[]): OutputSpool {
  return {
    append: async (more) => void chunks.push(...more),
    drop() {},
    read: async (position) => {
      const chunk = chunks[position];
      return chunk === undefined ? undefined : { chunk, next: position + 1 };
    },
    keptBytes: () => chunks.reduce((sum, chunk) => sum + chunk.data.length, 0),
    droppedBytes: () => 0,
    fault: () => '',
    release: async () => {},
    remove: async () => {},
  };
}

const KIB = 1024;
const chunk = (bytes: number): Chunk => ({ stream: STDOUT, data: Buffer.alloc(bytes, 'x') });
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

let sent: TaskOutput[];
let taking: boolean;
let drained: string[];
let sender: OutputSender;

beforeEach(() => {
  sent = [];
  taking = true;
  drained = [];
  sender = createOutputSender({
    send: (output) => {
      if (taking) sent.push(output);
      return taking;
    },
    onDrained: (runId) => drained.push(runId),
  });
});

function add(runId: string, ...sizes: number[]): void {
  sender.add(runId, spoolOf(sizes.map(chunk)));
  sender.kept(runId);
  sender.complete(runId);
}

describe('the output of all dispatches', () => {
  it('shares one window, and goes on with the credit that comes back', async () => {
    sender.opened(64 * KIB);
    add('a', ...Array(8).fill(32 * KIB));
    await turn();
    expect(sent.map((o) => o.offset)).toEqual([0n, BigInt(32 * KIB)]);
    sender.committed('a', 32 * KIB);
    await turn();
    expect(sent).toHaveLength(3);
    sender.committed('a', 96 * KIB);
    await turn();
    expect(sent).toHaveLength(5);
  });

  it('takes turns, so that a loud task does not starve a quiet one', async () => {
    add('loud', ...Array(50).fill(32 * KIB));
    add('quiet', 10, 10);
    sender.opened(256 * KIB);
    await turn();
    expect(sent.slice(0, 4).map((o) => o.runId)).toEqual(['loud', 'quiet', 'loud', 'quiet']);
  });

  it('passes a window that is smaller than a chunk, one at a time', async () => {
    sender.opened(1 * KIB);
    add('a', 32 * KIB, 32 * KIB);
    await turn();
    expect(sent).toHaveLength(1);
    sender.committed('a', 32 * KIB);
    await turn();
    expect(sent).toHaveLength(2);
  });

  it('is sent again from the last committed chunk in a new session, the same chunks', async () => {
    sender.opened(1024 * KIB);
    add('a', 10, 20, 30);
    await turn();
    sender.committed('a', 10);
    sender.closed();
    sender.opened(1024 * KIB);
    await turn();
    expect(sent.map((o) => [Number(o.offset), o.data.length])).toEqual([
      [0, 10],
      [10, 20],
      [30, 30],
      [10, 20],
      [30, 30],
    ]);
  });

  it('is sent again when the server dropped it: from what is committed, under its number, within its window', async () => {
    sender.opened(1024 * KIB);
    add('a', ...Array(4).fill(32 * KIB));
    await turn();
    sender.committed('a', 32 * KIB);
    sender.resend(1, 64 * KIB);
    await turn();
    const seen = () => sent.map((o) => [o.round, Number(o.offset) / KIB]);
    expect(seen().slice(4)).toEqual([
      [1, 32],
      [1, 64],
    ]);
    // What the server had taken before it dropped the rest is committed: it is not sent once more.
    sender.committed('a', 96 * KIB);
    await turn();
    expect(seen().slice(6)).toEqual([[1, 96]]);
    sender.closed();
    sender.opened(1024 * KIB);
    await turn();
    expect(seen().at(-1)).toEqual([0, 96]);
  });

  it('skips what the server has from an earlier life of this agent', async () => {
    add('a', 10, 20, 30);
    sender.committed('a', 30);
    sender.opened(1024 * KIB);
    await turn();
    expect(sent.map((o) => Number(o.offset))).toEqual([30]);
  });

  it('waits while the link is congested, and loses nothing', async () => {
    taking = false;
    sender.opened(1024 * KIB);
    add('a', 10, 20);
    await turn();
    expect(sent).toEqual([]);
    taking = true;
    sender.writable();
    await turn();
    expect(sent.map((o) => Number(o.offset))).toEqual([0, 10]);
  });

  it('is done when everything is committed, once', async () => {
    sender.opened(1024 * KIB);
    add('a', 10, 20);
    add('empty');
    await turn();
    sender.committed('a', 30);
    sender.committed('a', 30);
    expect(drained).toEqual(['empty', 'a']);
    expect(sender.pendingBytes()).toBe(0);
  });

  it('of a dispatch that is forgotten gives its credit back', async () => {
    sender.opened(64 * KIB);
    add('a', 32 * KIB, 32 * KIB, 32 * KIB);
    add('b', 32 * KIB);
    await turn();
    sender.remove('a');
    await turn();
    expect(sent.at(-1)?.runId).toBe('b');
  });
});
