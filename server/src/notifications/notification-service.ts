import { didYouMean } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import type { Pool } from 'pg';
import type { Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { createQuery } from '../db/query.ts';
import { inTransaction } from '../db/transaction.ts';
import type { Declared, DeclaredObject } from '../declared/declared.ts';
import { isAddress } from './channels/addresses.ts';
import type { ChannelSpec } from './channels/channel.ts';
import type { Dispatcher } from './outbox/dispatcher.ts';
import {
  type Counts,
  countNotifications,
  countThreads,
  getNotification,
  listNotifications,
  type NotificationFilter,
  type NotificationView,
  retryNotifications,
} from './outbox/outbox-queries.ts';
import type { SubscriptionSpec } from './subscriptions/subscription.ts';
import { sampleMessage } from './templates/sample.ts';

export interface ChannelView extends Counts {
  readonly channel: DeclaredObject<ChannelSpec>;
  readonly fault: string | undefined;
  readonly subscriptions: readonly string[];
}

export interface SubscriptionView extends Counts {
  readonly subscription: DeclaredObject<SubscriptionSpec>;
  readonly openAlerts: number;
}

export interface TestResult {
  readonly id: string;
  readonly delivered: boolean;
  readonly answer: string;
  readonly durationMs: number;
}

/** What operators ask of notifications. */
export interface NotificationService {
  list(filter: NotificationFilter, limit: number, beforeSeq: number | undefined): Promise<readonly NotificationView[]>;
  /** @throws OpenlineError NOTIFICATION_UNKNOWN */
  get(id: string): Promise<NotificationView>;
  /** @throws OpenlineError NOTIFICATION_UNKNOWN, NOTIFICATION_NOT_DEAD; then none of them is sent again */
  retry(by: Principal, which: { ids: readonly string[] } | { channel: string | undefined }): Promise<number>;
  channels(): Promise<readonly ChannelView[]>;
  /** Sends a marked message now. @throws OpenlineError DECLARED_UNKNOWN, REQUEST_INVALID */
  test(by: Principal, channel: string, to: readonly string[]): Promise<TestResult>;
  subscriptions(): Promise<readonly SubscriptionView[]>;
}

export interface NotificationServiceDeps {
  readonly pool: Pool;
  readonly audit: AuditLog;
  readonly channels: Declared<ChannelSpec>;
  readonly subscriptions: Declared<SubscriptionSpec>;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  newId(): string;
}

const DAY_MS = 24 * 3600_000;
const NONE: Counts = { pending: 0, waiting: 0, dead: 0, sent: 0, oldestDue: undefined, lastSent: undefined };

export function createNotificationService(deps: NotificationServiceDeps): NotificationService {
  const { pool, audit, channels, subscriptions, dispatcher, clock } = deps;
  const query = createQuery(pool);
  const counts = (by: 'channel' | 'subscription') => {
    const now = clock.now();
    return countNotifications(query, by, now, new Date(now.getTime() - DAY_MS));
  };

  async function refuseOthers(ids: readonly string[], done: readonly string[]): Promise<void> {
    const left = ids.find((id) => !done.includes(id));
    if (left === undefined) return;
    const known = await getNotification(query, left);
    if (known === undefined) throw new OpenlineError('NOTIFICATION_UNKNOWN', `there is no notification «${left}»`);
    throw new OpenlineError('NOTIFICATION_NOT_DEAD', `the notification ${left} is ${known.state.replace('_', ' ')}`);
  }

  return {
    list: (filter, limit, beforeSeq) => listNotifications(query, filter, limit, beforeSeq),

    async get(id) {
      const found = await getNotification(query, id);
      if (found === undefined) throw new OpenlineError('NOTIFICATION_UNKNOWN', `there is no notification «${id}»`);
      return found;
    },

    async retry(by, which) {
      const count = await inTransaction(pool, async (tx) => {
        const done = await retryNotifications(tx.query, which, clock.now());
        if ('ids' in which) await refuseOthers(which.ids, done);
        const object = 'ids' in which ? which.ids.slice(0, 20).join(', ') : (which.channel ?? 'all');
        await audit.record(
          { principal: by.name, action: 'notification.retry', object, details: { count: done.length } },
          tx.db,
        );
        return done.length;
      });
      dispatcher.wake();
      return count;
    },

    async channels() {
      const byName = await counts('channel');
      return channels.list().map((channel) => ({
        ...(byName.get(channel.name) ?? NONE),
        channel,
        fault: dispatcher.fault(channel.name),
        subscriptions: subscriptions
          .list()
          .filter(({ spec }) => spec.steps.some(({ send }) => send.some((each) => each.channel === channel.name)))
          .map(({ name }) => name),
      }));
    },

    async test(by, name, to) {
      const channel = channels.get(name);
      if (channel === undefined) {
        const hint = didYouMean(
          name,
          channels.list().map((each) => each.name),
        );
        throw new OpenlineError('DECLARED_UNKNOWN', `there is no Channel «${name}»${hint}`);
      }
      const mail = channel.spec.target.kind === 'smtp';
      if (mail && to.length === 0)
        throw new OpenlineError('REQUEST_INVALID', `to: is empty; say to whom, as the channel «${name}» sends mails`);
      if (!mail && to.length > 0)
        throw new OpenlineError('REQUEST_INVALID', `the channel «${name}» itself says where to`);
      const wrong = to.find((address) => !isAddress(address));
      if (wrong !== undefined) throw new OpenlineError('REQUEST_INVALID', `«${wrong}» is no mail address`);
      await audit.record({ principal: by.name, action: 'channel.test', object: name, details: { to } });
      const id = deps.newId();
      const startedMs = clock.nowMs();
      const now = clock.now();
      const sample = sampleMessage(
        'test',
        { id, rootId: id, subscription: '(test)', channel: name, recipients: to, createdAt: now },
        now,
      );
      const delivery = await dispatcher.sendNow(channel, sample);
      const refused = delivery.kind === 'delivered' ? (delivery.refused ?? []) : [];
      return {
        id,
        delivered: delivery.kind === 'delivered' && refused.length === 0,
        answer: [
          delivery.kind === 'delivered' ? delivery.answer : delivery.reason,
          ...refused.map(({ recipient, reason }) => `${recipient}: ${reason}`),
        ].join('; '),
        durationMs: Math.round(clock.nowMs() - startedMs),
      };
    },

    async subscriptions() {
      const [byName, alerts] = await Promise.all([counts('subscription'), countThreads(query)]);
      return subscriptions.list().map((subscription) => ({
        ...(byName.get(subscription.name) ?? NONE),
        subscription,
        openAlerts: alerts.get(subscription.name) ?? 0,
      }));
    },
  };
}
