import type { Kysely } from 'kysely';
import { Bell } from '../bell.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import type { Alert, AlertChange } from './alert.ts';
import { type AlertFilter, readAlerts } from './alert-queries.ts';
import type { AlertWatchItem } from './alert-service.ts';
import type { AlertHub } from './alerts.ts';

/** Changes that wait for one reader; beyond it the reader begins anew with a snapshot. */
const MOST_WAITING = 2_000;
const SNAPSHOT_PIECE = 500;

/** A snapshot of what matches, then what changes of it: also that it matches no more. Ends when the signal aborts. */
export async function* watchAlerts(
  { db, hub }: { db: Kysely<Schema>; hub: AlertHub },
  filter: AlertFilter,
  signal: AbortSignal,
): AsyncGenerator<AlertWatchItem> {
  const waiting = new WaitingChanges();
  // Subscribed before the first read, so that nothing falls between the two.
  const unsubscribe = hub.subscribe((changes) => waiting.add(changes));
  /** Alerts that the reader was told of, and not yet that they match no more. */
  const told = new Set<string>();
  try {
    for (;;) {
      if (waiting.lost()) {
        told.clear();
        for await (const piece of snapshot(db, filter)) {
          for (const { id } of piece.alerts) told.add(id);
          yield piece;
        }
      }
      const changes = await waiting.next(signal);
      if (changes === undefined) return;
      const matching = await matchingOf(db, filter, changes);
      for (const change of changes) {
        const { id } = change.alert;
        const now = matching.get(id);
        if (now === undefined && !told.has(id)) continue;
        // Of several changes at once each is told; what the alert has become is known only now.
        if (now !== undefined) told.add(id);
        else if (change === changes.findLast(({ alert }) => alert.id === id)) told.delete(id);
        yield { kind: 'update', change, alert: now ?? change.alert, matches: now !== undefined };
      }
    }
  } finally {
    unsubscribe();
  }
}

async function* snapshot(
  db: Kysely<Schema>,
  filter: AlertFilter,
): AsyncGenerator<Extract<AlertWatchItem, { kind: 'snapshot' }>> {
  let before: number | undefined;
  for (let first = true; ; first = false) {
    const alerts: Alert[] = await storeErrors(readAlerts(db, filter, { limit: SNAPSHOT_PIECE, before }));
    const last = alerts.length < SNAPSHOT_PIECE;
    yield { kind: 'snapshot', alerts, first, last };
    if (last) return;
    before = Number(alerts.at(-1)?.id);
  }
}

async function matchingOf(
  db: Kysely<Schema>,
  filter: AlertFilter,
  changes: readonly AlertChange[],
): Promise<Map<string, Alert>> {
  const ids = [...new Set(changes.map(({ alert }) => alert.id))];
  const found = await storeErrors(readAlerts(db, filter, { limit: ids.length, ids }));
  return new Map(found.map((alert) => [alert.id, alert]));
}

class WaitingChanges {
  #changes: AlertChange[] = [];
  /** Also at the beginning: nothing was told yet. */
  #lost = true;
  readonly #bell = new Bell();

  add(changes: readonly AlertChange[]): void {
    if (this.#changes.length + changes.length > MOST_WAITING) {
      this.#changes = [];
      this.#lost = true;
    } else this.#changes.push(...changes);
    this.#bell.ring();
  }

  /** Whether a snapshot is due; asking takes it on. */
  lost(): boolean {
    const lost = this.#lost;
    this.#lost = false;
    return lost;
  }

  /** Waits for changes. @returns none when some were lost; undefined when the signal aborted */
  async next(signal: AbortSignal): Promise<AlertChange[] | undefined> {
    while (this.#changes.length === 0 && !this.#lost && !signal.aborted) await this.#bell.wait(signal);
    if (signal.aborted) return undefined;
    return this.#changes.splice(0);
  }
}
