import type { Pool } from 'pg';
import { createQuery, type Query } from '../../db/query.ts';
import { inTransaction } from '../../db/transaction.ts';
import { decodeItem, type MessageItem, type NotificationKind } from '../message.ts';
import type { Condition } from '../planner.ts';
import { createBatcher } from './batcher.ts';
import { insertReminder, insertSplit, type NextReminder, type Split, storable } from './copies.ts';

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
  /** @property quiet it was not tried: nothing failed, and it is due at `tryAt` */
  | { readonly kind: 'again'; readonly reason: string; readonly tryAt: Date; readonly quiet?: true };

export interface FinishMore {
  readonly splits?: readonly Split[];
  readonly reminder?: NextReminder;
}

export interface Recovery {
  readonly owner: string;
  /** What `owner` works on: left alone. Anything else that is its own is lost once its lease is shorter than `strayMs`. */
  readonly held: readonly string[];
  readonly strayMs: number;
  /** Every other process is gone; otherwise those whose lease has ended. */
  readonly alone: boolean;
  /** Channels that prefer twice to not at all. */
  readonly resend: readonly string[];
}

export interface Recovered {
  readonly state: 'pending' | 'uncertain';
  readonly channelKind: string;
}

export interface OutboxStore {
  /**
   * Takes what is due, in order, at most so many of each channel. Of one thread, one at a time.
   * @param leaseMs after that time without `renew`, others may take them for abandoned
   */
  claim(owner: string, rooms: ReadonlyMap<string, number>, now: Date, leaseMs: number): Promise<Claimed[]>;
  /** Prolongs the lease of what `owner` has claimed and knows of. */
  renew(owner: string, held: readonly string[], leaseMs: number): Promise<void>;
  /** Gives back what was claimed and not begun, as if it never had been. */
  release(ids: readonly string[], owner: string): Promise<void>;
  /** From here on nobody can know whether it was taken, unless an answer comes. @returns false when it is no longer `owner`'s: do not go on */
  handOver(id: string, owner: string): Promise<boolean>;
  /** @param more is stored with it, or not at all. @returns false when it is no longer `owner`'s */
  finish(id: string, owner: string, ending: Ending, now: Date, more?: FinishMore): Promise<boolean>;
  /** Takes up what nobody works on any more: what had not been handed over is sent again, what had is uncertain. @returns each of them */
  recover(who: Recovery, now: Date): Promise<readonly Recovered[]>;
  /** For channels that are there, everything waiting is tried now. */
  hurry(channel: string, now: Date): Promise<void>;
  /** The wall clock was moved: what waits for a time to pass moves with it. */
  shift(byMs: number): Promise<void>;
}

const OWNED = "('sending', 'handing_over', 'uncertain')";

export function createOutboxStore(pool: Pool): OutboxStore {
  const query = createQuery(pool);
  const handOvers = createBatcher((items: readonly Owned[]) => handOver(query, items));
  const endings = createBatcher((items: readonly Ended[]) => end(query, items));

  return {
    async claim(owner, rooms, now, leaseMs) {
      const { rows } = await query<ClaimedRow>({
        name: 'outbox-claim',
        text: CLAIM,
        values: [[...rooms.keys()], [...rooms.values()], now, owner, leaseMs],
      });
      return rows.map(toClaimed);
    },

    async renew(owner, held, leaseMs) {
      if (held.length === 0) return;
      await query({
        name: 'outbox-renew',
        text: `update notifications set lease_until = now() + $2 * interval '1 millisecond'
          where claimed_by = $1 and id = any($3::text[]) and state in ('sending', 'handing_over')`,
        values: [owner, leaseMs, held],
      });
    },

    async release(ids, owner) {
      await query({
        name: 'outbox-release',
        text: `update notifications set state = 'pending', attempts = attempts - 1, claimed_by = ''
          where id = any($1::text[]) and claimed_by = $2 and state = 'sending'`,
        values: [ids, owner],
      });
    },

    handOver: (id, owner) => handOvers({ id, owner }),

    async finish(id, owner, ending, now, more = {}) {
      const { splits = [], reminder } = more;
      if (splits.length === 0 && reminder === undefined) return endings({ id, owner, ending, now });
      return inTransaction(pool, async (tx) => {
        const [mine = false] = await end(tx.query, [{ id, owner, ending, now }]);
        if (!mine) return false;
        for (const split of splits) await insertSplit(tx, id, split);
        if (reminder !== undefined) await insertReminder(tx, id, reminder);
        return true;
      });
    },

    async recover({ owner, held, strayMs, alone, resend }, now) {
      const { rows } = await query<{ state: Recovered['state']; channel_kind: string }>(
        `with gone as (
           select id, state = 'handing_over' and channel <> all($2::text[]) as unknown from notifications
           where state in ('sending', 'handing_over') and id <> all($5::text[]) and case when claimed_by = $4
             then lease_until < now() + $6 * interval '1 millisecond' else $1 or lease_until < now() end
           for update skip locked)
         update notifications n set
           state = case when unknown then 'uncertain' else 'pending' end,
           ended_at = case when unknown then $3::timestamptz end,
           try_at = $3,
           reason = case when unknown then 'the server ended after the message was handed over and before an answer was recorded'
             else 'its delivery was interrupted before the message was handed over' end
         from gone where n.id = gone.id returning n.state, n.channel_kind`,
        [alone, resend, now, owner, held, strayMs],
      );
      return rows.map(({ state, channel_kind }) => ({ state, channelKind: channel_kind }));
    },

    async hurry(channel, now) {
      await query(
        `update notifications set try_at = $2 where channel = $1 and state = 'pending' and attempts > 0 and try_at > $2 and due_at <= $2`,
        [channel, now],
      );
    },

    async shift(byMs) {
      const span = "$1 * interval '1 millisecond'";
      await query(
        `update notifications set due_at = due_at + ${span}, try_at = try_at + ${span} where state = 'pending' and not by_wall_clock`,
        [byMs],
      );
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

interface Owned {
  readonly id: string;
  readonly owner: string;
}

interface Ended extends Owned {
  readonly ending: Ending;
  readonly now: Date;
}

async function handOver(query: Query, items: readonly Owned[]): Promise<boolean[]> {
  const { rows } = await query<{ id: string }>({
    name: 'outbox-hand-over',
    text: `update notifications n set state = 'handing_over' from unnest($1::text[], $2::text[]) as o (id, owner)
      where n.id = o.id and n.claimed_by = o.owner and n.state = 'sending' returning n.id`,
    values: [items.map(({ id }) => id), items.map(({ owner }) => owner)],
  });
  const done = new Set(rows.map(({ id }) => id));
  return items.map(({ id }) => done.has(id));
}

async function end(query: Query, items: readonly Ended[]): Promise<boolean[]> {
  const { rows } = await query<{ id: string }>({
    name: 'outbox-end',
    text: `with e as (
        select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::boolean[])
          as e (id, owner, state, reason, answer, try_at, ended_at, untried)),
      ended as (
        update notifications n set state = e.state, reason = e.reason, answer = e.answer, ended_at = e.ended_at,
          try_at = coalesce(e.try_at, n.try_at), due_at = case when untried then e.try_at else n.due_at end,
          attempts = n.attempts - untried::integer, claimed_by = case when e.state = 'pending' then '' else n.claimed_by end
        from e where n.id = e.id and n.claimed_by = e.owner and n.state in ${OWNED} returning n.id, n.state, n.ended_at),
      -- Of what nobody was told, nobody needs to hear the end.
      untold as (
        update notifications n set state = 'cancelled', ended_at = ended.ended_at, reason = 'nobody was told that it was open'
        from ended where n.root_id = ended.id and n.id <> ended.id and n.state = 'pending' and ended.state in ('dead', 'cancelled'))
      select id from ended`,
    values: [
      items.map(({ id }) => id),
      items.map(({ owner }) => owner),
      items.map(({ ending }) => (ending.kind === 'again' ? 'pending' : ending.kind)),
      items.map(({ ending }) => (ending.kind === 'sent' ? '' : storable(ending.reason))),
      items.map(({ ending }) => (ending.kind === 'sent' ? storable(ending.answer) : '')),
      items.map(({ ending }) => (ending.kind === 'again' ? ending.tryAt : null)),
      items.map(({ ending, now }) => (ending.kind === 'again' ? null : now)),
      items.map(({ ending }) => ending.kind === 'again' && ending.quiet === true),
    ],
  });
  const done = new Set(rows.map(({ id }) => id));
  return items.map(({ id }) => done.has(id));
}
