import type { Tx } from '../../db/transaction.ts';

/** Notifications that are made of another one, when that has ended. */

/** Some of the recipients were refused while others were served: each part goes on by itself. */
export interface Split {
  readonly id: string;
  readonly dedupe: string;
  readonly recipients: readonly string[];
  readonly state: 'pending' | 'dead';
  readonly reason: string;
  readonly tryAt: Date;
}

export interface NextReminder {
  readonly id: string;
  readonly dedupe: string;
  readonly dueAt: Date;
}

const COPIED = 'kind, subscription, step, channel, channel_kind';

export async function insertSplit(tx: Tx, from: string, split: Split): Promise<void> {
  await tx.query(
    `with copy as (
       insert into notifications (id, dedupe, ${COPIED}, recipients, thread, root_id, alert_id, state, due_at, try_at, attempts, reason, ended_at)
       select $2, $3, ${COPIED}, $4::text[], thread || $2, case when root_id = id then $2 else root_id end, alert_id, $5, due_at, $6, attempts, $7,
         case when $5 = 'dead' then now() end
       from notifications where id = $1 on conflict (dedupe) do nothing returning id)
     insert into notification_items select copy.id, change_id, alert_id, payload from notification_items, copy where notification_id = $1`,
    [from, split.id, split.dedupe, split.recipients, split.state, split.tryAt, storable(split.reason)],
  );
}

/** Whether it is wanted still is looked at when it is due. */
export async function insertReminder(tx: Tx, from: string, { id, dedupe, dueAt }: NextReminder): Promise<void> {
  await tx.query(
    `with copy as (
       insert into notifications (id, dedupe, ${COPIED}, recipients, thread, root_id, alert_id, condition, due_at, try_at)
       select $2, $3, ${COPIED}, recipients, thread, root_id, alert_id, condition, $4, $4 from notifications where id = $1
       on conflict (dedupe) do nothing returning id)
     insert into notification_items select copy.id, change_id, alert_id, payload from notification_items, copy where notification_id = $1`,
    [from, id, dedupe, dueAt],
  );
}

/** What the other side says goes into a column of text, which holds everything but this: an answer with it could never be recorded. */
export function storable(text: string): string {
  return text.replaceAll('\0', '');
}
