import type { Query } from '../../db/query.ts';
import { decodeItem, type MessageItem, type NotificationKind } from '../message.ts';
import type { Condition } from '../planner.ts';

/** What people read of the outbox, and the one thing they may change of it. */

export const NOTIFICATION_STATES = [
  'pending',
  'sending',
  'handing_over',
  'sent',
  'dead',
  'uncertain',
  'cancelled',
] as const;
export type NotificationState = (typeof NOTIFICATION_STATES)[number];

export interface NotificationView {
  readonly id: string;
  readonly seq: number;
  readonly state: NotificationState;
  readonly kind: NotificationKind;
  readonly subscription: string;
  readonly step: number;
  readonly channel: string;
  readonly channelKind: string;
  readonly recipients: readonly string[];
  readonly alertId: string | undefined;
  readonly condition: Condition;
  readonly createdAt: Date;
  readonly dueAt: Date;
  /** undefined: it has ended. */
  readonly tryAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly attempts: number;
  readonly reason: string;
  readonly answer: string;
  /** The newest ones. */
  readonly items: readonly MessageItem[];
  readonly itemCount: number;
}

export interface NotificationFilter {
  /** Any of them; empty: all. */
  readonly states: readonly NotificationState[];
  readonly channel: string | undefined;
  readonly subscription: string | undefined;
  readonly alertId: string | undefined;
}

interface Row {
  id: string;
  seq: number;
  state: NotificationState;
  kind: NotificationKind;
  subscription: string;
  step: number;
  channel: string;
  channel_kind: string;
  recipients: string[];
  alert_id: number | null;
  condition: Condition;
  created_at: Date;
  due_at: Date;
  try_at: Date;
  ended_at: Date | null;
  attempts: number;
  reason: string;
  answer: string;
  payloads: string[] | null;
  item_count: number;
}

const SELECT = (items: number) => `
  select n.*, i.payloads, coalesce(i.item_count, 0)::integer as item_count from notifications n left join lateral (
    select (array_agg(payload order by change_id desc))[1:${items}] as payloads, count(*) as item_count
    from notification_items where notification_id = n.id) i on true`;

/** Newest first. @param alertId also digests that speak of it */
export async function listNotifications(
  query: Query,
  { states, channel, subscription, alertId }: NotificationFilter,
  limit: number,
  beforeSeq: number | undefined,
): Promise<NotificationView[]> {
  const { rows } = await query<Row>(
    `${SELECT(1)}
     where ($1::text[] = '{}' or n.state = any($1)) and ($2::text is null or n.channel = $2)
       and ($3::text is null or n.subscription = $3) and ($4::bigint is null or n.seq < $4)
       and ($5::bigint is null or n.id in (select notification_id from notification_items where alert_id = $5))
     order by n.seq desc limit $6`,
    [states, channel ?? null, subscription ?? null, beforeSeq ?? null, alertId ?? null, limit],
  );
  return rows.map(toView);
}

const SHOWN_ITEMS = 200;

export async function getNotification(query: Query, id: string): Promise<NotificationView | undefined> {
  const { rows } = await query<Row>(`${SELECT(SHOWN_ITEMS)} where n.id = $1`, [id]);
  return rows[0] && toView(rows[0]);
}

function toView(row: Row): NotificationView {
  return {
    id: row.id,
    seq: row.seq,
    state: row.state,
    kind: row.kind,
    subscription: row.subscription,
    step: row.step,
    channel: row.channel,
    channelKind: row.channel_kind,
    recipients: row.recipients,
    alertId: row.alert_id === null ? undefined : String(row.alert_id),
    condition: row.condition,
    createdAt: row.created_at,
    dueAt: row.due_at,
    tryAt: row.ended_at === null ? row.try_at : undefined,
    endedAt: row.ended_at ?? undefined,
    attempts: row.attempts,
    reason: row.reason,
    answer: row.answer,
    items: (row.payloads ?? []).map(decodeItem).reverse(),
    itemCount: row.item_count,
  };
}

/** From the beginning, now. @returns ids of those that were dead or uncertain */
export async function retryNotifications(
  query: Query,
  which: { readonly ids: readonly string[] } | { readonly channel: string | undefined },
  now: Date,
): Promise<string[]> {
  const byId = 'ids' in which;
  const { rows } = await query<{ id: string }>(
    `update notifications set state = 'pending', try_at = $2, due_at = $2, attempts = 0, ended_at = null, claimed_by = '', condition = '',
       reason = 'it is sent again because somebody asked for it'
     where state in ('dead', 'uncertain') and ${byId ? 'id = any($1::text[])' : '($1::text is null or channel = $1)'}
     returning id`,
    [byId ? which.ids : (which.channel ?? null), now],
  );
  return rows.map(({ id }) => id);
}

export interface Counts {
  readonly pending: number;
  readonly waiting: number;
  readonly dead: number;
  readonly sent: number;
  readonly oldestDue: Date | undefined;
  readonly lastSent: Date | undefined;
}

/** By channel, or by subscription. @param since of what was sent */
export async function countNotifications(
  query: Query,
  by: 'channel' | 'subscription',
  now: Date,
  since: Date,
): Promise<ReadonlyMap<string, Counts>> {
  const { rows } = await query<{
    name: string;
    pending: number;
    waiting: number;
    dead: number;
    sent: number;
    oldest_due: Date | null;
    last_sent: Date | null;
  }>(
    `select ${by} as name,
       count(*) filter (where state in ('pending', 'sending', 'handing_over') and due_at <= $1)::integer as pending,
       count(*) filter (where state = 'pending' and due_at > $1)::integer as waiting,
       count(*) filter (where state in ('dead', 'uncertain'))::integer as dead,
       count(*) filter (where state = 'sent' and ended_at > $2)::integer as sent,
       min(due_at) filter (where state in ('pending', 'sending', 'handing_over') and due_at <= $1) as oldest_due,
       max(ended_at) filter (where state = 'sent') as last_sent
     from notifications group by ${by}`,
    [now, since],
  );
  return new Map(
    rows.map(({ name, oldest_due, last_sent, ...counts }) => [
      name,
      { ...counts, oldestDue: oldest_due ?? undefined, lastSent: last_sent ?? undefined },
    ]),
  );
}

/** Open alerts by the subscriptions that concern themselves with them. */
export async function countThreads(query: Query): Promise<ReadonlyMap<string, number>> {
  const { rows } = await query<{ subscription: string; alerts: number }>(
    'select subscription, count(distinct alert_id)::integer as alerts from notification_threads group by subscription',
  );
  return new Map(rows.map(({ subscription, alerts }) => [subscription, alerts]));
}

/** For gauges: what waits although it is due, and what waits for a person. */
export async function takeCensus(
  query: Query,
  now: Date,
): Promise<{ pending: number; oldestDue: Date | undefined; dead: number }> {
  const { rows } = await query<{ pending: number; oldest: Date | null; dead: number }>({
    name: 'outbox-census',
    text: `select
        (select count(*) from notifications where state = 'pending' and due_at <= $1)::integer as pending,
        (select min(due_at) from notifications where state in ('pending', 'sending', 'handing_over') and due_at <= $1) as oldest,
        (select count(*) from notifications where state in ('dead', 'uncertain'))::integer as dead`,
    values: [now],
  });
  const [row] = rows;
  return { pending: row?.pending ?? 0, oldestDue: row?.oldest ?? undefined, dead: row?.dead ?? 0 };
}
