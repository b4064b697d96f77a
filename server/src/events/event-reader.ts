import type { EventLevel, NodeEvent } from '@openline/packs';
import { type Kysely, type Selectable, sql } from 'kysely';
import * as z from 'zod';
import { parseSelector, selectorSql } from '../agents/selector.ts';
import { escapeLike, watchSql } from '../alerts/alert-queries.ts';
import { levelNumber, toNodeEvent } from '../alerts/rows.ts';
import type { Clock } from '../clock.ts';
import type { EventsTable, Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import { pageTokenOf, readPageToken, UnixMs } from '../page-token.ts';

/** The newest first: when, in milliseconds, and which of that moment. */
const SORTED_BY = z.tuple([UnixMs, z.int()]);

export interface EventFilter {
  /** A target expression; empty: any. */
  readonly targets: string;
  /** This one or a more serious one. */
  readonly level: EventLevel | undefined;
  readonly log: string;
  readonly source: string;
  readonly watch: string;
  readonly text: string;
  /** By the agents' clocks. */
  readonly since: Date | undefined;
}

export interface StoredEvent {
  readonly id: number;
  readonly agentId: string;
  /** Empty when the agent is gone. */
  readonly agentName: string;
  readonly event: NodeEvent;
  readonly watch: string;
  readonly alertId: string | undefined;
  /** Of a gap: how many events are missing; 0: nobody knows how many. Undefined: it is an event. */
  readonly lost: number | undefined;
}

/** The events that were taken in, for people. */
export interface EventReader {
  /** The newest first, by the agents' clocks. @throws OpenlineError TARGETS_INVALID, REQUEST_INVALID */
  list(
    filter: EventFilter,
    page: { limit: number; pageToken: string },
  ): Promise<{ events: StoredEvent[]; nextPageToken: string }>;
  /**
   * From where it begins on, then what comes. The first item comes at once and may be empty: where its position is not the one that was asked
   * for, what came behind that is not there any more, or is of another database. Ends when the signal aborts.
   * @throws OpenlineError TARGETS_INVALID
   */
  watch(filter: EventFilter, from: WatchFrom, signal: AbortSignal): AsyncIterable<WatchedEvents>;
}

/** So many of the newest, the oldest of them first; or what came behind a position. */
export type WatchFrom = { readonly newest: number } | { readonly after: number };

export interface WatchedEvents {
  readonly events: readonly StoredEvent[];
  /** Everything up to this id has been looked at. */
  readonly position: number;
}

export interface EventReaderDeps {
  readonly db: Kysely<Schema>;
  readonly clock: Pick<Clock, 'sleep'>;
  /** Calls the listener when events were stored. @returns a function that ends that */
  onStored(listener: () => void): () => void;
}

const PIECE = 500;
/** What another replica stored is seen after this. */
const SWEEP_MS = 5_000;

type Row = Selectable<EventsTable> & { agent_name: string | null };

export function createEventReader({ db, clock, onStored }: EventReaderDeps): EventReader {
  function select(filter: EventFilter) {
    let query = db
      .selectFrom('events')
      .leftJoin('agents', 'agents.id', 'events.agent_id')
      .selectAll('events')
      .select('agents.name as agent_name');
    const { targets, level, log, source, watch, text, since } = filter;
    if (targets !== '') {
      const selected = selectorSql(parseSelector(targets));
      query = query.where(sql<boolean>`events.agent_id in (select agents.id from agents where ${selected})`);
    }
    if (level !== undefined) {
      // In these words the planner finds the index of the serious ones.
      const least = levelNumber(level);
      query = query.where(sql<boolean>`events.level >= ${sql.lit(least)}`);
    }
    if (log !== '') query = query.where('events.log', '=', log);
    if (source !== '') query = query.where('events.source', '=', source);
    if (watch !== '') query = query.where(watchSql('events.watch', watch));
    if (text !== '') query = query.where('events.message', 'ilike', `%${escapeLike(text)}%`);
    if (since !== undefined) query = query.where('events.at', '>=', since);
    return query;
  }

  async function newestOf(filter: EventFilter, limit: number, upTo: number): Promise<StoredEvent[]> {
    if (limit === 0) return [];
    const query = select(filter).where('events.id', '<=', upTo);
    const rows = await query.orderBy('events.at', 'desc').orderBy('events.id', 'desc').limit(limit).execute();
    return rows.map(toStored).reverse();
  }

  async function ids(): Promise<{ first: number; last: number }> {
    const row = await db
      .selectFrom('events')
      .select((e) => [e.fn.min('id').as('first'), e.fn.max('id').as('last')])
      .executeTakeFirst();
    return { first: row?.first ?? 1, last: row?.last ?? 0 };
  }

  async function begin(filter: EventFilter, from: WatchFrom): Promise<WatchedEvents> {
    const { first, last } = await ids();
    if ('newest' in from) return { events: await newestOf(filter, from.newest, last), position: last };
    return { events: [], position: Math.min(last, Math.max(first - 1, from.after)) };
  }

  return {
    async list(filter, { limit, pageToken }) {
      let query = select(filter);
      const before = readPageToken(pageToken, SORTED_BY);
      if (before !== undefined) {
        query = query.where(
          sql<boolean>`(events.at, events.id) < (${new Date(before[0])}::timestamptz, ${before[1]}::bigint)`,
        );
      }
      const rows = await storeErrors(
        query
          .orderBy('events.at', 'desc')
          .orderBy('events.id', 'desc')
          .limit(limit + 1)
          .execute(),
      );
      const events = rows.slice(0, limit).map(toStored);
      const last = rows.length > limit ? rows[limit - 1] : undefined;
      return { events, nextPageToken: last === undefined ? '' : pageTokenOf([last.at.getTime(), last.id]) };
    },

    async *watch(filter, from, signal) {
      let ring = new AbortController();
      const unsubscribe = onStored(() => ring.abort());
      try {
        const begun = await storeErrors(begin(filter, from));
        yield begun;
        let seen = begun.position;
        while (!signal.aborted) {
          ring = new AbortController();
          const next = select(filter).where('events.id', '>', seen).orderBy('events.id').limit(PIECE);
          const upTo = (await storeErrors(ids())).last;
          const rows = upTo === seen ? [] : await storeErrors(next.execute());
          seen = rows.length < PIECE ? Math.max(upTo, rows.at(-1)?.id ?? 0) : (rows.at(-1)?.id ?? upTo);
          if (rows.length > 0) yield { events: rows.map(toStored), position: seen };
          if (rows.length < PIECE) await clock.sleep(SWEEP_MS, AbortSignal.any([signal, ring.signal]));
        }
      } finally {
        unsubscribe();
      }
    },
  };
}

function toStored(row: Row): StoredEvent {
  return {
    id: row.id,
    agentId: row.agent_id,
    agentName: row.agent_name ?? '',
    event: toNodeEvent(row),
    watch: row.watch,
    alertId: row.alert_id === null ? undefined : String(row.alert_id),
    lost: row.lost ?? undefined,
  };
}
