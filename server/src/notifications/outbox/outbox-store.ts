import type { Pool } from 'pg';
import { createQuery, type Query } from '../../db/query.ts';
import { inTransaction, type Tx } from '../../db/transaction.ts';
import { decodeItem, type MessageItem, type NotificationKind } from '../message.ts';
import type { Condition } from '../planner.ts';

/**
 * The outbox as its workers see it. A notification is claimed for a time by one process (`owner`), and every later step says so again: what
 * was claimed by another one meanwhile is left alone.
 */

export interface Claimed {
  readonly id: string;
  readonly kind: NotificationKind;
  readonly subscription: string;
  readonly step: number;
  readonly channel: string;
  readonly recipients: readonly string[];
  readonly rootId: string;
  readonly alertId: string | undefined;
  readonly changeId: number | undefined;
  readonly dueAt: Date;
  readonly createdAt: Date;
  /** This one included. */
  readonly attempts: number;
  readonly condition: Condition;
  readonly items: readonly MessageItem[];
}

/** How an attempt ended, as it is recorded. */
export type Ending =
  | { readonly kind: 'sent'; readonly answer: string }
  | { readonly kind: 'dead' | 'uncertain' | 'cancelled'; readonly reason: string }
  | { readonly kind: 'again'; readonly reason: string; readonly tryAt: Date };

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

export interface OutboxStore {
  /**
   * Takes what is due, in order, at most so many of each channel. Of one thread, one at a time.
   * @param leaseMs after that time without `renew`, others may take them for abandoned
   */
  claim(owner: string, rooms: ReadonlyMap<string, number>, now: Date, leaseMs: number): Promise<Claimed[]>;
  /** Prolongs the lease of everything that `owner` has claimed. */
  renew(owner: string, leaseMs: number): Promise<void>;
  /** From here on nobody can know whether it was taken, unless an answer comes. @returns false when it is no longer `owner`'s: do not go on */
  handOver(id: string, owner: string): Promise<boolean>;
  /** @param splits and @param reminder are stored with it, or not at all. @returns false when it is no longer `owner`'s */
  finish(
    id: string,
    owner: string,
    ending: Ending,
    now: Date,
    more?: { readonly splits?: readonly Split[]; readonly reminder?: NextReminder },
  ): Promise<boolean>;
  /**
   * Looks after what was claimed by processes that are gone: what had not been handed over is sent again, what had is uncertain.
   * @param owner what it has claimed itself is left alone
   * @param alone every other process is gone; otherwise those whose lease has ended
   * @param resend channels that prefer twice to not at all
   */
  recover(
    owner: string,
    alone: boolean,
    resend: readonly string[],
    now: Date,
  ): Promise<{ again: number; uncertain: number }>;
  /** For channels that are there, everything waiting is tried now. */
  hurry(channel: string, now: Date): Promise<void>;
  /** Gives up what waits for a channel that is not there any more. @returns how many */
  giveUpOrphans(channels: readonly string[], now: Date): Promise<number>;
  groom(endedBefore: Date, deadBefore: Date): Promise<number>;
}

const OWNED = "('sending', 'handing_over', 'uncertain')";

export function createOutboxStore(pool: Pool): OutboxStore {
  const query = createQuery(pool);

  return {
    async claim(owner, rooms, now, leaseMs) {
      const { rows } = await query<ClaimedRow>({
        name: 'outbox-claim',
        text: CLAIM,
        values: [[...rooms.keys()], [...rooms.values()], now, owner, leaseMs],
      });
      return rows.map(toClaimed);
    },

    async renew(owner, leaseMs) {
      await query({
        name: 'outbox-renew',
        text: `update notifications set lease_until = now() + $2 * interval '1 millisecond'
          where claimed_by = $1 and state in ('sending', 'handing_over')`,
        values: [owner, leaseMs],
      });
    },

    async handOver(id, owner) {
      const { rowCount } = await query({
        name: 'outbox-hand-over',
        text: `update notifications set state = 'handing_over' where id = $1 and claimed_by = $2 and state = 'sending'`,
        values: [id, owner],
      });
      return rowCount === 1;
    },

    async finish(id, owner, ending, now, more = {}) {
      const { splits = [], reminder } = more;
      if (splits.length === 0 && reminder === undefined) return end(query, id, owner, ending, now);
      return inTransaction(pool, async (tx) => {
        if (!(await end(tx.query, id, owner, ending, now))) return false;
        for (const split of splits) await insertSplit(tx, id, split);
        if (reminder !== undefined) await insertReminder(tx, id, reminder);
        return true;
      });
    },

    async recover(owner, alone, resend, now) {
      const { rows } = await query<{ state: string; count: number }>(
        `with gone as (
           select id, state = 'handing_over' and channel <> all($2::text[]) as unknown from notifications
           where state in ('sending', 'handing_over') and claimed_by <> $4 and ($1 or lease_until < now())
           for update skip locked),
         done as (
           update notifications n set
             state = case when unknown then 'uncertain' else 'pending' end,
             ended_at = case when unknown then $3::timestamptz end,
             try_at = $3,
             reason = case when unknown then 'the server ended after the message was handed over and before an answer was recorded'
               else 'the server ended before the message was handed over' end
           from gone where n.id = gone.id returning n.state)
         select state, count(*)::integer as count from done group by state`,
        [alone, resend, now, owner],
      );
      const countOf = (state: string) => rows.find((row) => row.state === state)?.count ?? 0;
      return { again: countOf('pending'), uncertain: countOf('uncertain') };
    },

    async hurry(channel, now) {
      await query(
        `update notifications set try_at = $2 where channel = $1 and state = 'pending' and attempts > 0 and try_at > $2 and due_at <= $2`,
        [channel, now],
      );
    },

    async giveUpOrphans(channels, now) {
      const { rowCount } = await query(
        `update notifications set state = 'dead', ended_at = $2, reason = 'the channel was deleted'
         where state = 'pending' and channel <> all($1::text[]) and due_at <= $2`,
        [channels, now],
      );
      return rowCount ?? 0;
    },

    async groom(endedBefore, deadBefore) {
      const { rowCount } = await query(
        `with old as (
           select id from notifications
           where (ended_at < $1 and state in ('sent', 'cancelled')) or (ended_at < $2 and state in ('dead', 'uncertain'))
           order by ended_at limit 5000)
         delete from notifications n using old where n.id = old.id`,
        [endedBefore, deadBefore],
      );
      await query(
        `with old as (
           select distinct alert_id from notification_threads t
           where not exists (select from alerts a where a.id = t.alert_id and a.closed_at is null) limit 5000)
         delete from notification_threads t using old where t.alert_id = old.alert_id`,
      );
      return rowCount ?? 0;
    },
  };
}

interface ClaimedRow {
  id: string;
  kind: NotificationKind;
  subscription: string;
  step: number;
  channel: string;
  recipients: string[];
  root_id: string;
  alert_id: number | null;
  due_at: Date;
  created_at: Date;
  attempts: number;
  condition: Condition;
  change_ids: number[] | null;
  payloads: string[] | null;
}

/**
 * A message waits for those of its thread that are due before it; one that is to come later keeps nobody waiting.
 * What another replica takes at this moment is skipped, and what it has taken keeps its thread waiting.
 */
const CLAIM = `
  with ready as (
    select n.id from unnest($1::text[], $2::integer[]) as room (channel, size)
    cross join lateral (
      select id from notifications w
      where w.channel = room.channel and w.state = 'pending' and w.try_at <= $3
        and not exists (
          select from notifications e where e.thread = w.thread and e.seq < w.seq
            and e.state in ('pending', 'sending', 'handing_over') and e.due_at <= $3)
      order by w.try_at, w.seq limit room.size for update skip locked) n),
  taken as (
    update notifications u set state = 'sending', attempts = attempts + 1, claimed_by = $4,
      lease_until = now() + $5 * interval '1 millisecond'
    from ready where u.id = ready.id returning u.*)
  select t.id, t.kind, t.subscription, t.step, t.channel, t.recipients, t.root_id, t.alert_id, t.due_at, t.created_at, t.attempts, t.condition,
    i.change_ids, i.payloads
  from taken t left join lateral (
    select array_agg(change_id order by change_id) as change_ids, array_agg(payload order by change_id) as payloads
    from notification_items where notification_id = t.id) i on true
  order by t.seq`;

function toClaimed(row: ClaimedRow): Claimed {
  return {
    id: row.id,
    kind: row.kind,
    subscription: row.subscription,
    step: row.step,
    channel: row.channel,
    recipients: row.recipients,
    rootId: row.root_id,
    alertId: row.alert_id === null ? undefined : String(row.alert_id),
    changeId: row.change_ids?.[0],
    dueAt: row.due_at,
    createdAt: row.created_at,
    attempts: row.attempts,
    condition: row.condition,
    items: (row.payloads ?? []).map(decodeItem),
  };
}

async function end(query: Query, id: string, owner: string, ending: Ending, now: Date): Promise<boolean> {
  if (ending.kind === 'again') {
    const { rowCount } = await query({
      name: 'outbox-again',
      text: `update notifications set state = 'pending', try_at = $3, reason = $4, claimed_by = '', ended_at = null
        where id = $1 and claimed_by = $2 and state in ${OWNED}`,
      values: [id, owner, ending.tryAt, ending.reason],
    });
    return rowCount === 1;
  }
  const answer = ending.kind === 'sent' ? ending.answer : '';
  const reason = ending.kind === 'sent' ? '' : ending.reason;
  const { rowCount } = await query({
    name: 'outbox-end',
    text: `with ended as (
        update notifications set state = $3, reason = $4, answer = $5, ended_at = $6
        where id = $1 and claimed_by = $2 and state in ${OWNED} returning id, state),
      -- Of what nobody was told, nobody needs to hear the end.
      untold as (
        update notifications n set state = 'cancelled', ended_at = $6, reason = 'nobody was told that it was open'
        from ended where n.root_id = ended.id and n.id <> ended.id and n.state = 'pending' and ended.state in ('dead', 'cancelled'))
      select id from ended`,
    values: [id, owner, ending.kind, reason, answer, now],
  });
  return rowCount === 1;
}

const COPIED = 'kind, subscription, step, channel, channel_kind';

async function insertSplit(tx: Tx, from: string, split: Split): Promise<void> {
  await tx.query(
    `with copy as (
       insert into notifications (id, dedupe, ${COPIED}, recipients, thread, root_id, alert_id, state, due_at, try_at, attempts, reason, ended_at)
       select $2, $3, ${COPIED}, $4::text[], thread || $2, case when root_id = id then $2 else root_id end, alert_id, $5, due_at, $6, attempts, $7,
         case when $5 = 'dead' then now() end
       from notifications where id = $1 on conflict (dedupe) do nothing returning id)
     insert into notification_items select copy.id, change_id, alert_id, payload from notification_items, copy where notification_id = $1`,
    [from, split.id, split.dedupe, split.recipients, split.state, split.tryAt, split.reason],
  );
}

/** Whether it is wanted still is looked at when it is due. */
async function insertReminder(tx: Tx, from: string, { id, dedupe, dueAt }: NextReminder): Promise<void> {
  await tx.query(
    `with copy as (
       insert into notifications (id, dedupe, ${COPIED}, recipients, thread, root_id, alert_id, condition, due_at, try_at)
       select $2, $3, ${COPIED}, recipients, thread, root_id, alert_id, condition, $4, $4 from notifications where id = $1
       on conflict (dedupe) do nothing returning id)
     insert into notification_items select copy.id, change_id, alert_id, payload from notification_items, copy where notification_id = $1`,
    [from, id, dedupe, dueAt],
  );
}
