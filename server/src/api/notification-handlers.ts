import type * as proto from '@openline/proto/notifications';
import { NotificationState as State } from '@openline/proto/notifications';
import { z } from 'zod';
import { describeTarget } from '../notifications/channels/channel.ts';
import type { ChannelView, NotificationService, SubscriptionView } from '../notifications/notification-service.ts';
import type { NotificationState, NotificationView } from '../notifications/outbox/outbox-queries.ts';
import { headlineOf } from '../notifications/templates/view.ts';
import { name, pageLimit, readRequest, seqToken, text } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface NotificationApiDeps {
  readonly notifications: NotificationService;
}

const STATES = {
  pending: State.NOTIFICATION_STATE_PENDING,
  sending: State.NOTIFICATION_STATE_SENDING,
  handing_over: State.NOTIFICATION_STATE_HANDING_OVER,
  sent: State.NOTIFICATION_STATE_SENT,
  dead: State.NOTIFICATION_STATE_DEAD,
  uncertain: State.NOTIFICATION_STATE_UNCERTAIN,
  cancelled: State.NOTIFICATION_STATE_CANCELLED,
} as const satisfies Record<NotificationState, State>;

const stateNames = new Map(
  Object.entries(STATES).map(([name, number]) => [number as State, name as NotificationState]),
);
const state = z.number().transform((number, context) => {
  const found = stateNames.get(number as State);
  if (found !== undefined) return found;
  context.addIssue({ code: 'custom', message: 'not a state of notifications' });
  return z.NEVER;
});
const optional = (maxChars: number) => text(maxChars).transform((value) => (value === '' ? undefined : value));
const id = name('give the id of a notification', 64);
const MAX_IDS = 1_000;

const List = z.object({
  states: z.array(state).max(20),
  channel: optional(100),
  subscription: optional(100),
  alertId: text(20)
    .regex(/^\d*$/, 'not the id of an alert')
    .transform((value) => (value === '' ? undefined : value)),
  limit: pageLimit(),
  pageToken: seqToken,
});
const ById = z.object({ id });
const Retry = z
  .object({ ids: z.array(id).max(MAX_IDS, `more than ${MAX_IDS}`), all: z.boolean(), channel: optional(100) })
  .refine(({ ids, all }) => ids.length > 0 !== all, 'say which: ids, or all')
  .refine(({ all, channel }) => all || channel === undefined, 'a channel has a meaning only with all');
const Test = z.object({ channel: name('say which channel', 100), to: z.array(text(254)).max(100, 'more than 100') });

export function notificationHandlers({
  notifications,
}: NotificationApiDeps): Handlers<typeof proto.NotificationServiceService> {
  return {
    async listNotifications(request) {
      const { limit, pageToken, ...filter } = readRequest(List, request);
      const found = await notifications.list(filter, limit, pageToken);
      const last = found.length === limit ? found.at(-1) : undefined;
      return {
        notifications: found.map(notificationMessage),
        nextPageToken: last === undefined ? '' : String(last.seq),
      };
    },
    async getNotification(request) {
      const found = await notifications.get(readRequest(ById, request).id);
      return { notification: notificationMessage(found), items: found.items.map(itemMessage) };
    },
    async retryNotifications(request, { principal }) {
      const { ids, channel, all } = readRequest(Retry, request);
      return { retried: await notifications.retry(principal, all ? { channel } : { ids: [...new Set(ids)] }) };
    },
    async listChannels() {
      return { channels: (await notifications.channels()).map(channelMessage) };
    },
    async testChannel(request, { principal }) {
      const { channel, to } = readRequest(Test, request);
      const { durationMs, ...result } = await notifications.test(principal, channel, to);
      return { ...result, durationMs: BigInt(durationMs) };
    },
    async listSubscriptions() {
      return { subscriptions: (await notifications.subscriptions()).map(subscriptionMessage) };
    },
  };
}

function notificationMessage(view: NotificationView): proto.Notification {
  return {
    id: view.id,
    state: STATES[view.state],
    kind: view.kind,
    subscription: view.subscription,
    step: view.step,
    channel: view.channel,
    channelKind: view.channelKind,
    recipients: [...view.recipients],
    alertId: view.alertId ?? '',
    title: view.kind === 'digest' && view.itemCount !== 1 ? `${view.itemCount} changes` : headlineOf(view),
    createdUnixMs: unixMs(view.createdAt),
    dueUnixMs: unixMs(view.dueAt),
    tryUnixMs: unixMs(view.tryAt),
    endedUnixMs: unixMs(view.endedAt),
    attempts: view.attempts,
    reason: view.reason,
    answer: view.answer,
    condition: view.condition,
    items: view.itemCount,
  };
}

function itemMessage({ alert, change }: NotificationView['items'][number]): proto.NotificationItem {
  return {
    alertId: alert.id,
    title: alert.title,
    agentName: alert.agentName,
    severity: alert.severity,
    change: change.kind,
    atUnixMs: unixMs(change.at),
  };
}

function channelMessage({ channel, fault, subscriptions, ...counts }: ChannelView): proto.Channel {
  return {
    name: channel.name,
    kind: channel.spec.target.kind,
    target: describeTarget(channel.spec.target),
    fault: fault ?? '',
    pending: counts.pending,
    waiting: counts.waiting,
    dead: counts.dead,
    sent: counts.sent,
    oldestUnixMs: unixMs(counts.oldestDue),
    lastSentUnixMs: unixMs(counts.lastSent),
    subscriptions: [...subscriptions],
  };
}

function subscriptionMessage({ subscription, openAlerts, ...counts }: SubscriptionView): proto.Subscription {
  const { steps, criteria, enabled } = subscription.spec;
  const sends = steps.flatMap(({ send }) => send);
  return {
    name: subscription.name,
    enabled,
    severity: criteria.severity,
    watches: [...criteria.watches],
    channels: [...new Set(sends.map(({ channel }) => channel))],
    recipients: [...new Set(sends.flatMap(({ to }) => to))],
    steps: steps.length,
    sent: counts.sent,
    pending: counts.pending,
    waiting: counts.waiting,
    dead: counts.dead,
    openAlerts,
  };
}
