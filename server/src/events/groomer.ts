import type { Pool } from 'pg';
import { groomAlerts } from '../alerts/alert-queries.ts';
import { groomAnswers } from '../answers/answer-store.ts';
import type { Clock } from '../clock.ts';
import { createQuery, type Query } from '../db/query.ts';

export interface GroomerConfig {
  readonly eventHistoryDays: number;
  readonly maxEvents: number;
  readonly alertHistoryDays: number;
}

export interface GroomerDeps {
  readonly pool: Pool;
  readonly clock: Clock;
  onFailure(error: unknown): void;
}

const EVERY_MS = 60_000;
const DAY_MS = 24 * 3600_000;
/** Deleted at once; more would be long in the way of others. */
const PIECE = 5_000;
const PIECE_OF_ALERTS = 500;
/** Longer than any cool-down. */
const ANSWER_HISTORY_DAYS = 8;

/** Deletes what is too old, or too many, a piece at a time. */
export function startGroomer(deps: GroomerDeps, config: GroomerConfig): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      let more = false;
      try {
        more = await groom(deps, config);
      } catch (error) {
        deps.onFailure(error);
      }
      if (!more) await deps.clock.sleep(EVERY_MS, stopping.signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** One piece of each. @returns whether there may be more */
export async function groom(
  { pool, clock }: Pick<GroomerDeps, 'pool' | 'clock'>,
  { eventHistoryDays, maxEvents, alertHistoryDays }: GroomerConfig,
): Promise<boolean> {
  const query = createQuery(pool);
  const before = (days: number) => new Date(clock.now().getTime() - days * DAY_MS);
  const deleted = [
    (await groomEvents(query, before(eventHistoryDays), maxEvents)) / PIECE,
    (await groomAlerts(query, before(alertHistoryDays), PIECE_OF_ALERTS)) / PIECE_OF_ALERTS,
    (await groomAnswers(query, before(ANSWER_HISTORY_DAYS), PIECE)) / PIECE,
  ];
  return deleted.some((part) => part >= 1);
}

/** Events before a time, and all but about the newest so many: their ids are dense. */
async function groomEvents(query: Query, before: Date, most: number): Promise<number> {
  const old = await query({
    name: 'events-groom-old',
    text: 'delete from events where id in (select id from events where at < $1 order by at limit $2)',
    values: [before, PIECE],
  });
  const many = await query({
    name: 'events-groom-many',
    text: `delete from events where id in (
      select id from events where id <= (select max(id) from events) - $1::bigint order by id limit $2)`,
    values: [most, PIECE],
  });
  return Math.max(old.rowCount ?? 0, many.rowCount ?? 0);
}
