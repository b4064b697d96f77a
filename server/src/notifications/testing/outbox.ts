import type { ChannelSpec } from '../channels/channel.ts';
import type { Claimed } from '../outbox/outbox-store.ts';

/** A channel that runs a program, and what was claimed for it: for tests of the outbox's parts. */

export function channelSpec(over: Partial<ChannelSpec> = {}): ChannelSpec {
  return {
    target: { kind: 'command', program: 'tell', args: [] },
    concurrency: 2,
    rate: undefined,
    timeoutMs: 10_000,
    giveUpAfterMs: 3600_000,
    whenUncertain: 'keep',
    templates: {},
    ...over,
  };
}

export function claimedOf(id: string, over: Partial<Claimed> = {}): Claimed {
  return {
    id,
    kind: 'opened',
    subscription: 'all',
    step: 0,
    channel: 'tell',
    recipients: [],
    rootId: id,
    alertId: undefined,
    changeId: undefined,
    dueAt: new Date(0),
    createdAt: new Date(0),
    attempts: 1,
    condition: '',
    items: [],
    ...over,
  };
}
