import type { Pool } from 'pg';
import type { AlertDesk } from '../alerts/alerts.ts';
import type { NewAnswer } from '../answers/answer.ts';
import { insertAnswers } from '../answers/answer-store.ts';
import type { Clock } from '../clock.ts';
import { inTransaction, type Tx } from '../db/transaction.ts';
import type { MonitorRecord } from './event.ts';
import {
  countMonitors,
  forgetMonitors,
  insertEvents,
  lockPositions,
  readMonitors,
  writeMonitors,
  writePositions,
} from './event-store.ts';
import { monitorKey, type Plan, type PlannedAnswer, plan, type Slice } from './plan.ts';

/** A part of one agent's batch, up to and with `lastSeq`. */
export interface Piece extends Slice {
  readonly epoch: number;
  readonly spoolId: string;
  readonly lastSeq: number;
}

export interface TakenIn {
  /** Agents whose session was a newer one by then: nothing of theirs was taken in, and nothing is to be acknowledged. */
  readonly fenced: ReadonlySet<string>;
  /** The records that had not been seen before. */
  readonly slices: readonly Slice[];
  /** How many tasks are to be run in answer. */
  readonly answers: number;
}

export interface TakeInDeps {
  readonly pool: Pool;
  readonly alerts: Pick<AlertDesk, 'apply'>;
  readonly clock: Pick<Clock, 'now'>;
  newId(): string;
}

export type TakeIn = (pieces: readonly Piece[]) => Promise<TakenIn>;

/** Monitors (with their instances) of one agent. Beyond it they are left out: their alerts are raised all the same. */
const MAX_MONITORS_OF_AGENT = 2_000;

/**
 * Takes in what agents observed, all of it in one transaction: what was seen before is dropped, monitors change, alerts are raised and closed
 * (with their hooks), events are stored, answers are noted, and the spools' positions go forward. So each record takes effect once, however
 * often it is sent and whatever dies in between.
 * @param pieces at most one for each agent
 * @throws OpenlineError STORE_UNAVAILABLE nothing was taken in
 */
export function createTakeIn({ pool, alerts, clock, newId }: TakeInDeps): TakeIn {
  return (pieces) =>
    inTransaction(pool, async (tx) => {
      const positions = await lockPositions(tx, pieces);
      const fenced = new Set(pieces.map(({ agentId }) => agentId).filter((agentId) => !positions.has(agentId)));
      const slices = pieces.flatMap((piece): Slice[] => {
        const position = positions.get(piece.agentId);
        if (position === undefined) return [];
        const seen = position.spoolId === piece.spoolId ? position.seq : 0;
        return [{ ...piece, records: piece.records.filter(({ seq }) => seq > seen) }];
      });
      const known = await monitorsOf(tx, slices);
      const planned = plan(slices, known, { now: clock.now(), newId });
      const { alerts: raised } = await alerts.apply(planned.actions, tx);
      const alertOf = (action: number | undefined) => (action === undefined ? undefined : raised[action]?.id);

      if (planned.events.length > 0) {
        await insertEvents(
          tx,
          planned.events.map((event) => ({ ...event, alertId: alertOf(event.action) })),
        );
      }
      await writeStates(tx, planned, known);
      const answers = planned.answers.length === 0 ? 0 : await writeAnswers(tx, planned.answers, alertOf, clock.now());
      const forward = pieces.filter(({ agentId, spoolId, lastSeq }) => {
        const position = positions.get(agentId);
        return position !== undefined && (position.spoolId !== spoolId || lastSeq > position.seq);
      });
      if (forward.length > 0) {
        await writePositions(
          tx,
          forward.map(({ agentId, spoolId, lastSeq }) => ({ agentId, spoolId, seq: lastSeq })),
        );
      }
      return { fenced, slices, answers };
    });
}

async function monitorsOf(tx: Tx, slices: readonly Slice[]): Promise<Map<string, MonitorRecord>> {
  const ids = slices.flatMap(({ agentId, records }) =>
    records.flatMap((record) => (record.kind === 'state_change' ? [{ ...record, agentId }] : [])),
  );
  if (ids.length === 0) return new Map();
  return readMonitors(tx, [...new Map(ids.map((id) => [monitorKey(id), id])).values()]);
}

async function writeStates(tx: Tx, planned: Plan, known: ReadonlyMap<string, MonitorRecord>): Promise<void> {
  const states = [...planned.monitors];
  const gone = states.flatMap(([key, record]) => (record === undefined ? (known.get(key) ?? []) : []));
  if (gone.length > 0) await forgetMonitors(tx, gone);
  const records = states.flatMap(([, record]) => record ?? []);
  const added = records.filter((record) => !known.has(monitorKey(record)));
  const room = new Map<string, number>();
  if (added.length > 0) {
    const agentIds = [...new Set(added.map(({ agentId }) => agentId))];
    const counts = await countMonitors(tx, agentIds);
    for (const id of agentIds) room.set(id, MAX_MONITORS_OF_AGENT - (counts.get(id) ?? 0));
  }
  const kept = records.filter((record) => {
    if (known.has(monitorKey(record))) return true;
    const left = room.get(record.agentId) ?? 0;
    room.set(record.agentId, left - 1);
    return left > 0;
  });
  if (kept.length > 0) await writeMonitors(tx, kept);
}

async function writeAnswers(
  tx: Tx,
  planned: readonly PlannedAnswer[],
  alertOf: (action: number | undefined) => string | undefined,
  now: Date,
): Promise<number> {
  const answers = planned.map(({ answer, action }): NewAnswer => ({ ...answer, alertId: alertOf(action) }));
  // One statement does not see what it inserts itself, so a rule is answered once in it.
  const distinct = new Map(
    answers.map((a) => [a.kind === 'rule' ? `${a.agentId} ${a.watch} ${a.run?.task}` : a.id, a]),
  );
  return insertAnswers(tx, [...distinct.values()], now);
}
