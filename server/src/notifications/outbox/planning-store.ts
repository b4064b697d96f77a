import type { Tx } from '../../db/transaction.ts';
import type { NotificationKind } from '../message.ts';
import type { Condition, Thread } from '../planner.ts';

/** What the transaction that changes alerts writes for notifications. Sets, not single ones. */

export interface NewNotification {
  readonly id: string;
  /** Hash of what may be told only once. */
  readonly dedupe: string;
  readonly kind: NotificationKind;
  readonly subscription: string;
  readonly step: number;
  readonly channel: string;
  readonly channelKind: string;
  readonly recipients: readonly string[];
  /** What has the same thread is sent in its order. */
  readonly thread: string;
  readonly rootId: string;
  /** Absent: a digest. */
  readonly alertId: string | undefined;
  readonly condition: Condition;
  readonly dueAt: Date;
  readonly byWallClock: boolean;
}

export interface NewItem {
  readonly notificationId: string;
  readonly changeId: number;
  readonly alertId: string;
  readonly payload: string;
}

/** A thread of an open alert, and what opened it: the message to be answered. */
export interface NewThread extends Omit<Thread, 'told'> {
  readonly alertId: string;
  readonly channelKind: string;
  readonly changeId: number;
}

interface ThreadRow {
  alert_id: number;
  subscription: string;
  step: number;
  channel: string;
  recipients: string[];
  root_id: string;
  state: string | null;
  condition: string | null;
}

const THREAD_COLUMNS = 't.alert_id, t.subscription, t.step, t.channel, t.recipients, t.root_id, n.state, n.condition';

/**
 * Takes back what was to be sent only while these alerts are open, or unacknowledged. Before their threads are read: a message that is being
 * sent at this moment is not taken back, and counts as told.
 */
export async function cancelConditional(
  tx: Tx,
  closed: readonly string[],
  acknowledged: readonly string[],
  now: Date,
): Promise<number> {
  if (closed.length + acknowledged.length === 0) return 0;
  const { rowCount } = await tx.query({
    name: 'notifications-cancel',
    text: `update notifications set state = 'cancelled', ended_at = $3,
        reason = case when alert_id = any($1::bigint[]) then 'the alert was closed before it was due' else 'the alert was acknowledged before it was due' end
      where state = 'pending' and
        ((condition <> '' and alert_id = any($1::bigint[])) or (condition = 'unacknowledged' and alert_id = any($2::bigint[])))`,
    values: [closed, acknowledged, now],
  });
  return rowCount ?? 0;
}

/** By alert. Threads whose first message was cancelled or given up are left out: nobody knows of them. */
export async function readThreads(tx: Tx, alertIds: readonly string[]): Promise<Map<string, Thread[]>> {
  if (alertIds.length === 0) return new Map();
  const { rows } = await tx.query<ThreadRow>({
    name: 'notifications-threads',
    text: `select ${THREAD_COLUMNS} from notification_threads t left join notifications n on n.id = t.root_id
      where t.alert_id = any($1::bigint[]) order by t.step, t.channel`,
    values: [alertIds],
  });
  return threadsByAlert(rows);
}

/** As `readThreads`, and ends them: of a closed alert there is nothing more to tell. */
export async function endThreads(tx: Tx, alertIds: readonly string[]): Promise<Map<string, Thread[]>> {
  if (alertIds.length === 0) return new Map();
  const { rows } = await tx.query<ThreadRow>({
    name: 'notifications-threads-end',
    text: `with t as (delete from notification_threads where alert_id = any($1::bigint[]) returning *)
      select ${THREAD_COLUMNS} from t left join notifications n on n.id = t.root_id order by t.step, t.channel`,
    values: [alertIds],
  });
  return threadsByAlert(rows);
}

function threadsByAlert(rows: readonly ThreadRow[]): Map<string, Thread[]> {
  const byAlert = new Map<string, Thread[]>();
  for (const row of rows) {
    if (row.state === 'cancelled' || row.state === 'dead') continue;
    const thread: Thread = {
      subscription: row.subscription,
      step: row.step,
      channel: row.channel,
      recipients: row.recipients,
      rootId: row.root_id,
      // No state: it was sent so long ago that it is groomed.
      told: row.state !== 'pending' || row.condition === '',
    };
    const key = String(row.alert_id);
    const known = byAlert.get(key);
    if (known === undefined) byAlert.set(key, [thread]);
    else known.push(thread);
  }
  return byAlert;
}

const COLUMNS =
  'id, dedupe, kind, subscription, step, channel, channel_kind, recipients, thread, root_id, alert_id, condition, due_at, by_wall_clock, try_at, created_at';
/** Of arrays with one entry for each notification; recipients as JSON, because unnest would flatten lists. */
const FROM_ARRAYS = `select id, dedupe, kind, subscription, step, channel, channel_kind,
    array(select json_array_elements_text(recipients::json)), thread, root_id, alert_id, condition, due_at, by_wall_clock, due_at, $15::timestamptz
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::bigint[], $12::text[], $13::timestamptz[], $14::boolean[]) as new
    (id, dedupe, kind, subscription, step, channel, channel_kind, recipients, thread, root_id, alert_id, condition, due_at, by_wall_clock)`;

function columnsOf(rows: readonly NewNotification[], now: Date): unknown[] {
  return [
    rows.map((row) => row.id),
    rows.map((row) => row.dedupe),
    rows.map((row) => row.kind),
    rows.map((row) => row.subscription),
    rows.map((row) => row.step),
    rows.map((row) => row.channel),
    rows.map((row) => row.channelKind),
    rows.map((row) => JSON.stringify(row.recipients)),
    rows.map((row) => row.thread),
    rows.map((row) => row.rootId),
    rows.map((row) => row.alertId ?? null),
    rows.map((row) => row.condition),
    rows.map((row) => row.dueAt),
    rows.map((row) => row.byWallClock),
    now,
  ];
}

/** @returns ids of those that were not there yet */
export async function insertNotifications(
  tx: Tx,
  rows: readonly NewNotification[],
  now: Date,
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set();
  const { rows: added } = await tx.query<{ id: string }>({
    name: 'notifications-insert',
    text: `insert into notifications (${COLUMNS}) ${FROM_ARRAYS} on conflict (dedupe) do nothing returning id`,
    values: columnsOf(rows, now),
  });
  return new Set(added.map(({ id }) => id));
}

/**
 * Makes these digests, or takes hold of them until the commit where they are waiting already.
 * @param rows each `dedupe` once, sorted by it, so that two transactions never wait for each other
 * @returns id by dedupe; one that is being sent already is missing
 */
export async function joinDigests(
  tx: Tx,
  rows: readonly NewNotification[],
  now: Date,
): Promise<ReadonlyMap<string, string>> {
  if (rows.length === 0) return new Map();
  const { rows: found } = await tx.query<{ id: string; dedupe: string }>({
    name: 'notifications-digest',
    text: `insert into notifications (${COLUMNS}) ${FROM_ARRAYS}
      on conflict (dedupe) do update set dedupe = excluded.dedupe where notifications.state = 'pending' and notifications.attempts = 0
      returning id, dedupe`,
    values: columnsOf(rows, now),
  });
  return new Map(found.map(({ id, dedupe }) => [dedupe, id]));
}

export async function insertItems(tx: Tx, items: readonly NewItem[]): Promise<void> {
  if (items.length === 0) return;
  await tx.query({
    name: 'notifications-items',
    text: `insert into notification_items (notification_id, change_id, alert_id, payload)
      select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) on conflict do nothing`,
    values: [
      items.map((item) => item.notificationId),
      items.map((item) => item.changeId),
      items.map((item) => item.alertId),
      items.map((item) => item.payload),
    ],
  });
}

/** One that was cancelled or given up begins anew. */
export async function insertThreads(tx: Tx, threads: readonly NewThread[]): Promise<void> {
  if (threads.length === 0) return;
  await tx.query({
    name: 'notifications-threads-insert',
    text: `insert into notification_threads (alert_id, subscription, step, channel, channel_kind, recipients, root_id, change_id)
      select alert_id, subscription, step, channel, channel_kind, array(select json_array_elements_text(recipients::json)), root_id, change_id
      from unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[]) as new
        (alert_id, subscription, step, channel, channel_kind, recipients, root_id, change_id)
      on conflict (alert_id, subscription, step, channel, recipients) do update
        set root_id = excluded.root_id, change_id = excluded.change_id`,
    values: [
      threads.map((thread) => thread.alertId),
      threads.map((thread) => thread.subscription),
      threads.map((thread) => thread.step),
      threads.map((thread) => thread.channel),
      threads.map((thread) => thread.channelKind),
      threads.map((thread) => JSON.stringify(thread.recipients)),
      threads.map((thread) => thread.rootId),
      threads.map((thread) => thread.changeId),
    ],
  });
}

/** What deleted subscriptions had planned is not sent, and what becomes of alerts is told to nobody for them. */
export async function forgetSubscriptions(tx: Tx, names: readonly string[], now: Date): Promise<void> {
  if (names.length === 0) return;
  await tx.query('delete from notification_threads where subscription = any($1::text[])', [names]);
  await tx.query(
    `update notifications set state = 'cancelled', ended_at = $2, reason = 'the subscription was deleted'
     where state = 'pending' and subscription = any($1::text[])`,
    [names, now],
  );
}
