import type { Clock } from '../../clock.ts';
import type { ChannelSpec } from '../channels/channel.ts';
import type { Sender } from '../senders/sender.ts';
import { Gate } from './gate.ts';
import type { Claimed } from './outbox-store.ts';

/**
 * One channel at work: its sender, its gate, and what was claimed for it and waits for its turn. To claim a little more than can be begun
 * spares the database a question for each message.
 */
export interface Line {
  readonly spec: ChannelSpec;
  readonly sender: Sender;
  readonly gate: Gate;
  readonly waiting: Claimed[];
}

const AHEAD = 4;

export function createLine(spec: ChannelSpec, sender: Sender): Line {
  return { spec, sender, gate: new Gate(spec), waiting: [] };
}

/** How many to claim for it. */
export function appetite({ spec, gate, waiting }: Line, clock: Pick<Clock, 'nowMs'>): number {
  // Of a channel that is away, or whose rate is used up, nothing is held back from other replicas.
  if (gate.fault !== undefined || spec.rate !== undefined)
    return Math.max(0, gate.room(clock.nowMs()) - waiting.length);
  return Math.max(0, spec.concurrency * AHEAD - waiting.length);
}
