import type { NodeEvent, Severity } from '@openline/packs';
import { type Kysely, sql } from 'kysely';
import { parseSelector, selectorSql } from '../agents/selector.ts';
import type { Query } from '../db/query.ts';
import type { Schema } from '../db/schema.ts';
import type { Alert, AlertChange, AlertState } from './alert.ts';
import { alertStateOf, changeKindOf, severityNumber, severityOf, stateNumber, toAlert, toNodeEvent } from './rows.ts';

/** What people read of alerts. Changes nothing. */

export interface AlertFilter {
  /** Empty: any. */
  readonly states: readonly AlertState[];
  readonly severities: readonly Severity[];
  /** A target expression; empty: any agent, and groups. */
  readonly targets: string;
  /** "pack", "pack/watch", "agent", …; empty: any. */
  readonly watch: string;
  readonly text: string;
  readonly owner: string;
}

/** A row of the history. */
export type PastChange = Omit<AlertChange, 'alert'> & Pick<Alert, 'severity' | 'state' | 'owner' | 'count'>;

/** Of an alert that was commented without end the newest are shown. */
const MAX_HISTORY = 1_000;

/** The newest first. @param before only alerts with smaller ids. @param ids only these. @throws OpenlineError TARGETS_INVALID */
export async function readAlerts(
  db: Kysely<Schema>,
  filter: AlertFilter,
  { limit, before, ids }: { limit: number; before?: number | undefined; ids?: readonly string[] },
): Promise<Alert[]> {
  let query = db.selectFrom('alerts').selectAll('alerts').orderBy('alerts.id', 'desc').limit(limit);
  if (before !== undefined) query = query.where('alerts.id', '<', before);
  if (ids !== undefined) query = query.where(sql<boolean>`alerts.id = any(${ids.map(Number)}::bigint[])`);
  const { states, severities, targets, watch, text, owner } = filter;
  if (states.length > 0) {
    query = query.where(sql<boolean>`alerts.state = any(${states.map(stateNumber)}::smallint[])`);
    // In these words the planner finds the index of the open ones.
    if (!states.includes('closed')) query = query.where('alerts.closed_at', 'is', null);
  }
  if (severities.length > 0)
    query = query.where(sql<boolean>`alerts.severity = any(${severities.map(severityNumber)}::smallint[])`);
  if (targets !== '') {
    const selected = selectorSql(parseSelector(targets));
    query = query.where(sql<boolean>`exists (select 1 from agents where agents.id = alerts.agent_id and ${selected})`);
  }
  if (watch !== '') query = query.where(watchSql('alerts.watch', watch));
  if (owner !== '') query = query.where('alerts.owner', '=', owner);
  if (text !== '') {
    const like = `%${escapeLike(text)}%`;
    query = query.where(
      sql<boolean>`(alerts.title ilike ${like} or alerts.description ilike ${like} or alerts.key ilike ${like} or alerts.agent_name ilike ${like})`,
    );
  }
  return (await query.execute()).map(toAlert);
}

export async function readAlert(
  db: Kysely<Schema>,
  id: string,
): Promise<{ alert: Alert; history: PastChange[]; events: NodeEvent[] } | undefined> {
  const row = await db.selectFrom('alerts').selectAll().where('id', '=', Number(id)).executeTakeFirst();
  if (row === undefined) return undefined;
  const changes = await db
    .selectFrom('alert_changes')
    .selectAll()
    .where('alert_id', '=', row.id)
    .orderBy('id', 'desc')
    .limit(MAX_HISTORY)
    .execute();
  const events = await db
    .selectFrom('alert_events')
    .selectAll()
    .where('alert_id', '=', row.id)
    .orderBy('seq', 'desc')
    .execute();
  return {
    alert: toAlert(row),
    history: changes.reverse().map((change) => ({
      id: change.id,
      kind: changeKindOf(change.kind),
      at: change.at,
      by: change.by,
      comment: change.comment,
      severity: severityOf(change.severity),
      state: alertStateOf(change.state),
      owner: change.owner,
      count: change.count,
    })),
    events: events.map(toNodeEvent),
  };
}

/** How many are open, of each severity and state. */
export async function countAlerts(
  db: Kysely<Schema>,
): Promise<{ severity: Severity; state: AlertState; count: number }[]> {
  const rows = await db
    .selectFrom('alerts')
    .select(['severity', 'state', (select) => select.fn.countAll<number>().as('count')])
    .where('closed_at', 'is', null)
    .groupBy(['severity', 'state'])
    .execute();
  return rows.map(({ severity, state, count }) => ({
    severity: severityOf(severity),
    state: alertStateOf(state),
    count,
  }));
}

/** Deletes alerts that were closed before, with their history and events. @returns how many */
export async function groomAlerts(query: Query, closedBefore: Date, limit: number): Promise<number> {
  const { rowCount } = await query({
    name: 'alerts-groom',
    text: `with old as (delete from alerts where id in (select id from alerts where closed_at < $1 order by closed_at limit $2) returning id),
      behind as (delete from alert_events where alert_id in (select id from old))
      select id from old`,
    values: [closedBefore, limit],
  });
  return rowCount ?? 0;
}

/** A pack's, when it names no watch in it. */
export function watchSql(column: 'alerts.watch' | 'events.watch', watch: string) {
  const name = sql.ref(column);
  if (watch.includes('/')) return sql<boolean>`${name} = ${watch}`;
  return sql<boolean>`(${name} = ${watch} or ${name} like ${`${escapeLike(watch)}/%`})`;
}

export function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
