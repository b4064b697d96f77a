import { createHash } from 'node:crypto';
import { formatDuration } from '@openline/packs/duration';
import type { Alert } from '../../alerts/alert.ts';
import type { ChannelSpec } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import { nextReminder } from '../planner.ts';
import type { Delivery, RefusedRecipient } from '../senders/sender.ts';
import type { SubscriptionSpec } from '../subscriptions/subscription.ts';
import type { NextReminder, Split } from './copies.ts';
import { backoffMs, MESSAGE_BACKOFF } from './gate.ts';
import type { Claimed, Ending } from './outbox-store.ts';

/** What is sent, and what becomes of it. Pure. */

/** @returns why it is not wanted any more. @param alerts as they are now, where it has a condition */
export function holdsStill(
  { condition, items }: Claimed,
  alerts: ReadonlyMap<string, Pick<Alert, 'state'>>,
): string | undefined {
  if (condition === '') return undefined;
  const states = items.map(({ alert }) => alerts.get(alert.id)?.state ?? 'closed');
  if (states.every((state) => state === 'closed')) return 'the alert was closed before it was sent';
  if (condition === 'unacknowledged' && !states.includes('new')) return 'the alert was acknowledged before it was sent';
  return undefined;
}

/** What waited for its time tells how the alert is now; everything else tells what happened, as it was then. */
export function messageOf(
  claimed: Claimed,
  alerts: ReadonlyMap<string, Alert>,
  subscription: SubscriptionSpec | undefined,
): Message {
  return {
    id: claimed.id,
    kind: claimed.kind,
    subscription: claimed.subscription,
    channel: claimed.channel,
    step: claimed.step,
    recipients: claimed.recipients,
    rootId: claimed.rootId,
    attempt: claimed.attempts,
    createdAt: claimed.condition === '' ? claimed.createdAt : claimed.dueAt,
    items: claimed.items.map(({ alert, change }) => ({ alert: alerts.get(alert.id) ?? alert, change })),
    timeZone: subscription?.timeZone ?? 'UTC',
  };
}

export interface Recorded {
  readonly ending: Ending;
  readonly splits: readonly Split[];
  readonly reminder?: NextReminder;
}

export interface Chance {
  readonly now: Date;
  readonly random: () => number;
  newId(): string;
}

export function outcomeOf(
  delivery: Delivery,
  claimed: Claimed,
  channel: Pick<ChannelSpec, 'giveUpAfterMs' | 'whenUncertain'>,
  subscription: SubscriptionSpec | undefined,
  chance: Chance,
): Recorded {
  const ending = endingOf(delivery, claimed, channel, chance);
  const refused = delivery.kind === 'delivered' ? (delivery.refused ?? []) : [];
  const splits = [true, false].flatMap((forGood) =>
    splitOf(
      claimed,
      refused.filter((each) => each.forGood === forGood),
      chance,
    ),
  );
  const reminder = ending.kind === 'again' ? undefined : reminderAfter(claimed, subscription, chance);
  return { ending, splits, ...(reminder && { reminder }) };
}

function endingOf(
  delivery: Delivery,
  { attempts, dueAt }: Claimed,
  { giveUpAfterMs, whenUncertain }: Pick<ChannelSpec, 'giveUpAfterMs' | 'whenUncertain'>,
  { now, random }: Chance,
): Ending {
  const later = (afterMs: number): Ending =>
    now.getTime() - dueAt.getTime() >= giveUpAfterMs
      ? { kind: 'dead', reason: `given up after ${formatDuration(giveUpAfterMs)}; last: ${reasonIn(delivery)}` }
      : { kind: 'again', reason: reasonIn(delivery), tryAt: new Date(now.getTime() + afterMs) };
  switch (delivery.kind) {
    case 'delivered':
      return { kind: 'sent', answer: delivery.answer };
    case 'refused':
      return { kind: 'dead', reason: delivery.reason };
    case 'deferred':
      return later(delivery.retryAfterMs ?? backoffMs(attempts, MESSAGE_BACKOFF, random));
    case 'away':
      // Ready as soon as the channel is: it is the channel that waits.
      return later(0);
    case 'uncertain':
      return whenUncertain === 'resend'
        ? later(backoffMs(attempts, MESSAGE_BACKOFF, random))
        : { kind: 'uncertain', reason: delivery.reason };
    default:
      return delivery satisfies never;
  }
}

function reasonIn(delivery: Delivery): string {
  return delivery.kind === 'delivered' ? delivery.answer : delivery.reason;
}

function splitOf(claimed: Claimed, refused: readonly RefusedRecipient[], { now, random, newId }: Chance): Split[] {
  const [first] = refused;
  if (first === undefined) return [];
  const recipients = refused.map(({ recipient }) => recipient).sort();
  return [
    {
      id: newId(),
      dedupe: createHash('sha256')
        .update(JSON.stringify([claimed.id, recipients]))
        .digest('hex'),
      recipients,
      state: first.forGood ? 'dead' : 'pending',
      reason: refused
        .map(({ recipient, reason }) => `${recipient}: ${reason}`)
        .join('; ')
        .slice(0, 2_000),
      tryAt: new Date(now.getTime() + backoffMs(claimed.attempts, MESSAGE_BACKOFF, random)),
    },
  ];
}

function reminderAfter(
  { kind, id, dueAt }: Claimed,
  subscription: SubscriptionSpec | undefined,
  { now, newId }: Chance,
): NextReminder | undefined {
  if (kind !== 'reminder' || subscription === undefined || !subscription.enabled) return undefined;
  const dueAtMs = nextReminder(subscription, dueAt.getTime(), now.getTime());
  if (dueAtMs === undefined) return undefined;
  return { id: newId(), dedupe: createHash('sha256').update(`after ${id}`).digest('hex'), dueAt: new Date(dueAtMs) };
}
