import { createHash } from 'node:crypto';
import type { AlertChange } from '../alerts/alert.ts';
import type { AlertHook } from '../alerts/alerts.ts';
import type { Clock } from '../clock.ts';
import { Overtaken, type Tx } from '../db/transaction.ts';
import type { Declared } from '../declared/declared.ts';
import type { ChannelSpec } from './channels/channel.ts';
import { encodeItem, itemOf } from './message.ts';
import {
  cancelConditional,
  endThreads,
  insertItems,
  insertNotifications,
  insertThreads,
  joinDigests,
  type NewItem,
  type NewNotification,
  type NewThread,
  readThreads,
} from './outbox/planning-store.ts';
import { type Planned, plan, type Thread } from './planner.ts';
import type { SubscriptionSpec } from './subscriptions/subscription.ts';

export interface AlertHookDeps {
  readonly subscriptions: Pick<Declared<SubscriptionSpec>, 'list'>;
  readonly channels: Pick<Declared<ChannelSpec>, 'get'>;
  readonly clock: Pick<Clock, 'now'>;
  newId(): string;
  /** Something may be due: after the commit. */
  wake(): void;
  /** Messages that a schedule skips: after the commit. */
  onSkipped(count: number): void;
  onCancelled(count: number): void;
}

/**
 * Writes what is to be told of changed alerts, in the transaction that changes them. Costs nothing while nobody subscribes, and no
 * statement where no subscription is concerned by alerts that are raised.
 */
export function createAlertHook(deps: AlertHookDeps): AlertHook {
  const { subscriptions, clock } = deps;
  return async (tx, changes) => {
    if (subscriptions.list().length === 0) return;
    const relevant = changes.filter(
      ({ kind, alert }) => kind !== 'repeated' && kind !== 'answered' && alert.maintenanceId === '',
    );
    for (const round of roundsOf(relevant)) await tell(tx, round, clock.now(), deps);
  };
}

/** Each alert once in a round: what was planned for its change before is there when the next one is looked at. */
function roundsOf(changes: readonly AlertChange[]): AlertChange[][] {
  const rounds: AlertChange[][] = [];
  const next = new Map<string, number>();
  for (const change of changes) {
    const round = next.get(change.alert.id) ?? 0;
    next.set(change.alert.id, round + 1);
    const known = rounds[round];
    if (known === undefined) rounds.push([change]);
    else known.push(change);
  }
  return rounds;
}

async function tell(tx: Tx, changes: readonly AlertChange[], now: Date, deps: AlertHookDeps): Promise<void> {
  const idsOf = (wanted: (kind: AlertChange['kind']) => boolean) =>
    changes.filter(({ kind }) => wanted(kind)).map(({ alert }) => alert.id);
  const closed = idsOf((kind) => kind === 'closed');
  const cancelled = await cancelConditional(
    tx,
    closed,
    idsOf((kind) => kind === 'acknowledged'),
    now,
  );
  const threads = new Map<string, readonly Thread[]>([
    ...(await endThreads(tx, closed)),
    ...(await readThreads(
      tx,
      idsOf((kind) => kind !== 'closed' && kind !== 'raised'),
    )),
  ]);

  const subscriptions = deps.subscriptions.list();
  const notes: Note[] = [];
  let skipped = 0;
  for (const change of changes) {
    const found = plan(change, subscriptions, threads.get(change.alert.id) ?? [], now.getTime());
    skipped += found.skipped;
    for (const planned of found.planned) notes.push({ change, planned });
  }
  if (cancelled + skipped > 0) {
    tx.afterCommit(() => {
      deps.onCancelled(cancelled);
      deps.onSkipped(skipped);
    });
  }
  if (notes.length === 0) return;
  await writeSingle(
    tx,
    notes.filter(({ planned }) => !planned.inDigest),
    now,
    deps,
  );
  await writeDigests(
    tx,
    notes.filter(({ planned }) => planned.inDigest),
    now,
    deps,
  );
  tx.afterCommit(deps.wake);
}

interface Note {
  readonly change: AlertChange;
  readonly planned: Planned;
}

async function writeSingle(tx: Tx, notes: readonly Note[], now: Date, deps: AlertHookDeps): Promise<void> {
  const made = notes.map((note) => ({ ...note, id: deps.newId() }));
  const rows = made.flatMap(({ id, planned, change }): (NewNotification & { change: AlertChange })[] => {
    const common = {
      ...addressOf(planned, deps),
      alertId: change.alert.id,
      thread: threadKey(planned, change.alert.id),
      change,
    };
    const rootId = planned.rootId ?? id;
    const { kind, condition, dueAtMs, byWallClock, reminder } = planned;
    const first = {
      ...common,
      id,
      dedupe: dedupeKey(planned, kind, change.id),
      kind,
      rootId,
      condition,
      dueAt: new Date(dueAtMs),
      byWallClock,
    };
    if (reminder === undefined) return [first];
    return [
      first,
      {
        ...common,
        id: deps.newId(),
        dedupe: dedupeKey(planned, 'reminder', change.id, reminder.dueAtMs),
        kind: 'reminder',
        rootId,
        condition: reminder.condition,
        dueAt: new Date(reminder.dueAtMs),
        byWallClock: false,
      },
    ];
  });
  const added = await insertNotifications(tx, rows, now);
  const items = rows.filter(({ id }) => added.has(id)).map(({ id, change }): NewItem => itemRow(id, change));
  await insertItems(tx, items);
  await insertThreads(
    tx,
    made
      .filter(({ id, planned }) => planned.rootId === undefined && added.has(id))
      .map(({ id, planned, change }) => threadRow(planned, change, id, deps)),
  );
}

/** So many digests later is far enough: each is sent only once. */
const MAX_LATER = 5;

async function writeDigests(tx: Tx, notes: readonly Note[], now: Date, deps: AlertHookDeps): Promise<void> {
  let left = notes;
  for (let later = 0; left.length > 0 && later < MAX_LATER; later++) {
    // One that is being sent takes nothing more: a moment later, the next one is made.
    const rows = new Map<string, NewNotification>();
    const keyed = left.map((note) => ({
      note,
      dedupe: dedupeKey(note.planned, 'digest', note.planned.dueAtMs, later),
    }));
    for (const { note, dedupe } of keyed) {
      if (rows.has(dedupe)) continue;
      const id = deps.newId();
      rows.set(dedupe, {
        ...addressOf(note.planned, deps),
        id,
        dedupe,
        kind: 'digest',
        thread: threadKey(note.planned, 'digest'),
        rootId: id,
        alertId: undefined,
        condition: '',
        dueAt: new Date(note.planned.dueAtMs),
        byWallClock: true,
      });
    }
    const sorted = [...rows.values()].sort((a, b) => (a.dedupe < b.dedupe ? -1 : 1));
    const ids = await joinDigests(tx, sorted, now);
    const placed = keyed.flatMap(({ note, dedupe }) => {
      const id = ids.get(dedupe);
      return id === undefined ? [] : [{ note, id }];
    });
    await insertItems(
      tx,
      placed.map(({ note, id }) => itemRow(id, note.change)),
    );
    await insertThreads(
      tx,
      placed
        .filter(({ note }) => note.planned.rootId === undefined)
        .map(({ note, id }) => threadRow(note.planned, note.change, id, deps)),
    );
    left = keyed.filter(({ dedupe }) => !ids.has(dedupe)).map(({ note }) => note);
  }
  // Nothing is dropped: the whole transaction is made again, a moment later.
  if (left.length > 0) throw new Overtaken('digests are being sent faster than they are made');
}

function addressOf({ subscription, step, channel, recipients }: Planned, { channels }: AlertHookDeps) {
  // A channel that this replica does not know yet is known to it when the message is sent.
  const channelKind = channels.get(channel)?.spec.target.kind ?? '';
  return { subscription, step, channel, channelKind, recipients };
}

function itemRow(notificationId: string, change: AlertChange): NewItem {
  return { notificationId, changeId: change.id, alertId: change.alert.id, payload: encodeItem(itemOf(change)) };
}

function threadRow(planned: Planned, change: AlertChange, rootId: string, deps: AlertHookDeps): NewThread {
  return { ...addressOf(planned, deps), alertId: change.alert.id, rootId, changeId: change.id };
}

function hash(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** The same people, on the same channel, about the same alert: in its order, whatever subscription it is for. */
function threadKey({ channel, recipients }: Planned, about: string): string {
  return hash(['thread', about, channel, recipients]);
}

/** What may be told only once. */
export function dedupeKey(
  { subscription, step, channel, recipients }: Pick<Planned, 'subscription' | 'step' | 'channel' | 'recipients'>,
  kind: string,
  ...which: readonly number[]
): string {
  return hash([subscription, step, channel, recipients, kind, ...which]);
}
