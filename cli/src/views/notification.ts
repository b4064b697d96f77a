import {
  type Channel,
  type GetNotificationResponse,
  type Notification,
  NotificationState,
  type Subscription,
} from '@openline/proto/notifications';
import { iso } from './values.ts';

/** A notification as `-o json` shows it. Public: fields are added, never renamed or removed. */
export interface NotificationView {
  id: string;
  state: NotificationStateView;
  kind: string;
  title: string;
  subscription: string;
  /** 0: at first; from 1 on: that step of the escalation. */
  step: number;
  channel: string;
  channelKind: string;
  recipients: string[];
  /** null: a digest. */
  alertId: string | null;
  items: number;
  createdAt: string | null;
  dueAt: string | null;
  /** When it is tried next; null: it has ended. */
  tryAt: string | null;
  endedAt: string | null;
  attempts: number;
  /** It is sent only if the alert is still that. */
  condition: 'open' | 'unacknowledged' | null;
  reason: string | null;
  answer: string | null;
}

export const NOTIFICATION_STATES = [
  'pending',
  'sending',
  'handing_over',
  'sent',
  'dead',
  'uncertain',
  'cancelled',
] as const;
export type NotificationStateView = (typeof NOTIFICATION_STATES)[number] | 'unknown';

export const STATE_NUMBERS = {
  pending: NotificationState.NOTIFICATION_STATE_PENDING,
  sending: NotificationState.NOTIFICATION_STATE_SENDING,
  handing_over: NotificationState.NOTIFICATION_STATE_HANDING_OVER,
  sent: NotificationState.NOTIFICATION_STATE_SENT,
  dead: NotificationState.NOTIFICATION_STATE_DEAD,
  uncertain: NotificationState.NOTIFICATION_STATE_UNCERTAIN,
  cancelled: NotificationState.NOTIFICATION_STATE_CANCELLED,
} as const satisfies Record<(typeof NOTIFICATION_STATES)[number], NotificationState>;

export function notificationView(notification: Notification): NotificationView {
  const { condition } = notification;
  return {
    id: notification.id,
    state: NOTIFICATION_STATES.find((state) => STATE_NUMBERS[state] === notification.state) ?? 'unknown',
    kind: notification.kind,
    title: notification.title,
    subscription: notification.subscription,
    step: notification.step,
    channel: notification.channel,
    channelKind: notification.channelKind,
    recipients: notification.recipients,
    alertId: notification.alertId || null,
    items: notification.items,
    createdAt: iso(notification.createdUnixMs),
    dueAt: iso(notification.dueUnixMs),
    tryAt: iso(notification.tryUnixMs),
    endedAt: iso(notification.endedUnixMs),
    attempts: notification.attempts,
    condition: condition === 'open' || condition === 'unacknowledged' ? condition : null,
    reason: notification.reason || null,
    answer: notification.answer || null,
  };
}

export interface NotificationDetailView extends NotificationView {
  changes: {
    alertId: string;
    change: string;
    severity: string;
    title: string;
    agent: string | null;
    at: string | null;
  }[];
}

export function notificationDetailView({
  notification,
  items,
}: GetNotificationResponse): NotificationDetailView | undefined {
  if (notification === undefined) return undefined;
  return {
    ...notificationView(notification),
    changes: items.map(({ alertId, change, severity, title, agentName, atUnixMs }) => ({
      alertId,
      change,
      severity,
      title,
      agent: agentName || null,
      at: iso(atUnixMs),
    })),
  };
}

/** A channel, and how it is doing. */
export interface ChannelView {
  name: string;
  kind: string;
  /** Where it goes; never a secret. */
  target: string;
  /** Why it is taken to be away; null: nothing says so. */
  fault: string | null;
  pending: number;
  /** Wait for their time. */
  waiting: number;
  dead: number;
  sentLastDay: number;
  /** Since when the oldest of the pending ones is due. */
  oldestDueAt: string | null;
  lastSentAt: string | null;
  subscriptions: string[];
}

export function channelView(channel: Channel): ChannelView {
  return {
    name: channel.name,
    kind: channel.kind,
    target: channel.target,
    fault: channel.fault || null,
    pending: channel.pending,
    waiting: channel.waiting,
    dead: channel.dead,
    sentLastDay: channel.sent,
    oldestDueAt: iso(channel.oldestUnixMs),
    lastSentAt: iso(channel.lastSentUnixMs),
    subscriptions: channel.subscriptions,
  };
}

export interface SubscriptionView {
  name: string;
  enabled: boolean;
  /** This severity or a worse one. */
  severity: string;
  watches: string[];
  channels: string[];
  recipients: string[];
  steps: number;
  openAlerts: number;
  pending: number;
  waiting: number;
  dead: number;
  sentLastDay: number;
}

export function subscriptionView({ sent, ...subscription }: Subscription): SubscriptionView {
  return { ...subscription, sentLastDay: sent };
}
