import { describe, expect, it } from 'vitest';
import type { ChannelSpec } from '../channels/channel.ts';
import { channelSpec, claimedOf } from '../testing/outbox.ts';
import { appetite, createLine } from './line.ts';

const clock = { nowMs: () => 0 };
const line = (over: Partial<ChannelSpec> = {}) =>
  createLine(channelSpec({ concurrency: 4, ...over }), { send: () => Promise.reject(new Error('unused')), close() {} });

describe('a channel claims', () => {
  it('four times what it sends at a time, so that the next message is at hand', () => {
    expect(appetite(line(), clock)).toBe(16);
  });

  it('less by what it has at hand', () => {
    const some = line();
    for (let i = 0; i < 10; i++) some.waiting.push(claimedOf(`n${i}`));
    expect(appetite(some, clock)).toBe(6);
    for (let i = 0; i < 20; i++) some.waiting.push(claimedOf(`m${i}`));
    expect(appetite(some, clock)).toBe(0);
  });

  it('while everything it may send is under way, too', () => {
    const busy = line();
    for (let i = 0; i < 4; i++) busy.gate.started(0);
    expect(appetite(busy, clock)).toBe(16);
  });

  it('nothing while it is away, and then one to find out whether it is back', () => {
    const away = line();
    away.gate.away(0, () => 0, 'ECONNREFUSED');
    expect(appetite(away, clock)).toBe(0);
    expect(appetite(away, { nowMs: () => 60_000 })).toBe(1);
    away.gate.answered();
    expect(appetite(away, clock)).toBe(16);
  });

  it('no more than its rate allows, and no more than it sends at a time', () => {
    expect(appetite(line({ rate: { messages: 3, perMs: 60_000 } }), clock)).toBe(3);
    expect(appetite(line({ rate: { messages: 30, perMs: 60_000 } }), clock)).toBe(4);
  });
});
