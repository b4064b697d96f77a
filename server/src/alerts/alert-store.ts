import type { NodeEvent } from '@openline/packs';
import { MAX_EVENTS_BEHIND } from '@openline/proto/limits';
import type { Query } from '../db/query.ts';
import type { Tx } from '../db/transaction.ts';
import type { Alert, AlertChangeKind, AlertSubject } from './alert.ts';
import { type AlertRow, eventColumns, severityNumber, stateNumber, toAlert } from './rows.ts';

/** An alert as a transaction holds it: locked when it was there before, without an id when it was born in it. */
export interface HeldAlert {
  id: number | undefined;
  alert: Omit<Alert, 'id'>;
  /** As it was found; undefined: it was born. */
  readonly was: Pick<Alert, 'title' | 'description'> | undefined;
  /** Events ever kept behind it, those of `newEvents` included. */
  behind: number;
  newEvents: NodeEvent[];
}

/** One change of a held alert: what it was after it. */
export interface HeldChange {
  readonly held: HeldAlert;
  readonly after: Omit<Alert, 'id'>;
  readonly kind: AlertChangeKind;
  readonly by: string;
  readonly comment: string;
}

export interface AgentAbout {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The statements that change alerts, within a transaction. Each takes a whole set. */

/** The open alerts of these subjects, locked until the end of the transaction; by `subjectKey`. */
export async function lockOpen(tx: Tx, subjects: readonly AlertSubject[]): Promise<Map<string, HeldAlert>> {
  const { rows } = await tx.query<AlertRow>({
    name: 'alerts-lock-open',
    // Laterally, so that each is found by the index however few the planner takes them for; in the order given, so that two do not wait for
    // each other.
    text: `select a.* from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as s(kind, agent_id, watch, key)
      cross join lateral (select * from alerts o where o.kind = s.kind and o.agent_id = s.agent_id and o.watch = s.watch and o.key = s.key
        and o.closed_at is null for update) a`,
    values: [
      subjects.map((s) => s.kind),
      subjects.map((s) => s.agentId),
      subjects.map((s) => s.watch),
      subjects.map((s) => s.key),
    ],
  });
  return new Map(rows.map((row) => [rowKey(row), toHeld(row)]));
}

/** By id, locked; those that there are. */
export async function lockByIds(tx: Tx, ids: readonly number[]): Promise<Map<number, HeldAlert>> {
  const { rows } = await tx.query<AlertRow>({
    name: 'alerts-lock-ids',
    text: 'select * from alerts where id = any($1) order by id for update',
    values: [ids],
  });
  return new Map(rows.map((row) => [row.id, toHeld(row)]));
}

/** How many alerts are open of each watch, by `watchKey`. */
export async function countOpen(
  tx: Tx,
  watches: readonly Pick<AlertSubject, 'kind' | 'agentId' | 'watch'>[],
): Promise<Map<string, number>> {
  const { rows } = await tx.query<{ kind: string; agent_id: string; watch: string; open: number }>({
    name: 'alerts-count-open',
    text: `select a.kind, a.agent_id, a.watch, count(*) as open
      from unnest($1::text[], $2::text[], $3::text[]) as s(kind, agent_id, watch)
      join alerts a on a.kind = s.kind and a.agent_id = s.agent_id and a.watch = s.watch and a.closed_at is null
      group by a.kind, a.agent_id, a.watch`,
    values: [watches.map((w) => w.kind), watches.map((w) => w.agentId), watches.map((w) => w.watch)],
  });
  return new Map(rows.map((r) => [keyOf(r.kind, r.agent_id, r.watch), r.open]));
}

/** Names and labels of agents, by id; those that there are. */
export async function readAgents(tx: Tx, agentIds: readonly string[]): Promise<Map<string, AgentAbout>> {
  const { rows } = await tx.query<{ id: string; name: string; labels: Record<string, string> }>({
    name: 'alerts-agents',
    text: 'select id, name, labels || pinned_labels as labels from agents where id = any($1)',
    values: [agentIds],
  });
  return new Map(rows.map(({ id, name, labels }) => [id, { name, labels }]));
}

/**
 * Writes what became of the alerts, their history and the events behind them, in one statement; gives those that were born their ids.
 * @returns the ids of the changes, in order
 * @throws the driver's unique violation of `alerts_open` when another transaction opened an alert of the same subject first
 */
export async function write(
  tx: Tx,
  held: readonly HeldAlert[],
  changes: readonly HeldChange[],
  now: Date,
): Promise<number[]> {
  const born = held.filter((h) => h.id === undefined);
  const known = held.filter((h) => h.id !== undefined);
  const ordinals = new Map(born.map((h, i) => [h, i + 1]));
  const ref = (h: HeldAlert) => h.id ?? null;
  const ordinal = (h: HeldAlert) => ordinals.get(h) ?? null;
  // Repeats are no rows of the history: they only get their numbers.
  const recorded = [...changes.entries()].filter(([, { kind }]) => kind !== 'repeated');
  const behind = held.flatMap((h) => {
    const newest = h.newEvents.slice(-MAX_EVENTS_BEHIND);
    return newest.map((event, i) => ({ h, event, seq: h.behind - newest.length + i + 1 }));
  });
  const { rows } = await tx.query<{ born: boolean; ord: number; id: number }>({
    name: 'alerts-write',
    text: WRITE_SQL,
    values: [
      now,
      born.map((h) => h.alert.subject.kind),
      born.map((h) => h.alert.subject.agentId),
      born.map((h) => h.alert.subject.watch),
      born.map((h) => h.alert.subject.key),
      born.map((h) => h.alert.agentName),
      born.map((h) => JSON.stringify(h.alert.labels)),
      born.map((h) => severityNumber(h.alert.severity)),
      born.map((h) => h.alert.title),
      born.map((h) => h.alert.description),
      born.map((h) => stateNumber(h.alert.state)),
      born.map((h) => h.alert.count),
      born.map((h) => h.alert.closedAt !== undefined),
      born.map((h) => h.alert.maintenanceId),
      born.map((h) => h.behind),
      known.map(ref),
      known.map((h) => severityNumber(h.alert.severity)),
      // Most repeats have the words of the time before.
      known.map((h) => (h.was?.title === h.alert.title ? null : h.alert.title)),
      known.map((h) => (h.was?.description === h.alert.description ? null : h.alert.description)),
      known.map((h) => stateNumber(h.alert.state)),
      known.map((h) => h.alert.owner),
      known.map((h) => h.alert.count),
      known.map((h) => h.alert.lastAt.getTime()),
      known.map((h) => h.alert.closedAt?.getTime() ?? null),
      known.map((h) => h.alert.maintenanceId),
      known.map((h) => h.behind),
      changes.length,
      recorded.map(([place]) => place + 1),
      recorded.map(([, c]) => ref(c.held)),
      recorded.map(([, c]) => ordinal(c.held)),
      recorded.map(([, c]) => c.kind),
      recorded.map(([, c]) => c.by),
      recorded.map(([, c]) => c.comment),
      recorded.map(([, c]) => severityNumber(c.after.severity)),
      recorded.map(([, c]) => stateNumber(c.after.state)),
      recorded.map(([, c]) => c.after.owner),
      recorded.map(([, c]) => c.after.count),
      behind.map(({ h }) => ref(h)),
      behind.map(({ h }) => ordinal(h)),
      behind.map(({ seq }) => seq),
      ...eventColumns(behind.map(({ event }) => event)),
    ],
  });
  const changeIds: number[] = [];
  for (const row of rows) {
    const bornHeld = row.born ? born[row.ord - 1] : undefined;
    if (bornHeld !== undefined) bornHeld.id = row.id;
    else changeIds[row.ord - 1] = row.id;
  }
  return changeIds;
}

/** Volatile functions are called after the sort, so ids rise in the order in which the rows were given. */
const WRITE_SQL = `
  with born as materialized (
    select nextval('alerts_id_seq') as id, n.* from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
      $8::smallint[], $9::text[], $10::text[], $11::smallint[], $12::bigint[], $13::boolean[], $14::text[], $15::bigint[]) with ordinality
      as n(kind, agent_id, watch, key, agent_name, labels, severity, title, description, state, count, closed, maintenance_id, behind, ord)
    order by n.ord),
  inserted as (
    insert into alerts (id, kind, agent_id, watch, key, agent_name, labels, severity, title, description, state, count, first_at, last_at,
      closed_at, maintenance_id, behind)
    select id, kind, agent_id, watch, key, agent_name, labels::jsonb, severity, title, description, state, count, $1, $1,
      case when closed then $1::timestamptz end, maintenance_id, behind from born),
  updated as (
    update alerts a set severity = u.severity, title = coalesce(u.title, a.title), description = coalesce(u.description, a.description),
      state = u.state, owner = u.owner, count = u.count, last_at = to_timestamp(u.last_ms / 1000.0),
      closed_at = to_timestamp(u.closed_ms / 1000.0), maintenance_id = u.maintenance_id, behind = u.behind
    from unnest($16::bigint[], $17::smallint[], $18::text[], $19::text[], $20::smallint[], $21::text[], $22::bigint[], $23::float8[],
      $24::float8[], $25::text[], $26::bigint[])
      as u(id, severity, title, description, state, owner, count, last_ms, closed_ms, maintenance_id, behind)
    where a.id = u.id),
  numbers as materialized (
    select nextval('alert_changes_id_seq') as id, n as ord from generate_series(1, $27::integer) as n order by n),
  history as (
    insert into alert_changes (id, alert_id, kind, at, by, comment, severity, state, owner, count)
    select numbers.id, coalesce(c.alert_id, born.id), c.kind, $1, c.by, c.comment, c.severity, c.state, c.owner, c.count
    from unnest($28::integer[], $29::bigint[], $30::bigint[], $31::text[], $32::text[], $33::text[], $34::smallint[], $35::smallint[],
      $36::text[], $37::bigint[]) as c(ord, alert_id, born_ord, kind, by, comment, severity, state, owner, count)
    join numbers on numbers.ord = c.ord
    left join born on born.ord = c.born_ord),
  behind as (
    insert into alert_events as e (alert_id, slot, seq, log, source, event_id, level, at, message, data)
    select coalesce(v.alert_id, born.id), v.seq % ${MAX_EVENTS_BEHIND}, v.seq, v.log, v.source, v.event_id, v.level,
      to_timestamp(v.at_ms / 1000.0), v.message, v.data
    from unnest($38::bigint[], $39::bigint[], $40::bigint[], $41::text[], $42::text[], $43::text[], $44::smallint[], $45::float8[],
      $46::text[], $47::text[]) as v(alert_id, born_ord, seq, log, source, event_id, level, at_ms, message, data)
    left join born on born.ord = v.born_ord
    on conflict (alert_id, slot) do update set seq = excluded.seq, log = excluded.log, source = excluded.source,
      event_id = excluded.event_id, level = excluded.level, at = excluded.at, message = excluded.message, data = excluded.data)
  select true as born, ord, id from born union all select false, ord, id from numbers`;

/** What the open alerts of an agent are about. */
export async function readSubjects(tx: Tx, agentId: string): Promise<AlertSubject[]> {
  const { rows } = await tx.query<AlertRow>({
    name: 'alerts-of-agent',
    text: 'select * from alerts where agent_id = $1 and closed_at is null order by id',
    values: [agentId],
  });
  return rows.map((row) => toAlert(row).subject);
}

/** The open alerts of a kind. */
export async function readOpen(query: Query, kind: AlertSubject['kind']): Promise<Alert[]> {
  const { rows } = await query<AlertRow>({
    name: 'alerts-open-of-kind',
    text: 'select * from alerts where kind = $1 and closed_at is null order by id',
    values: [kind],
  });
  return rows.map(toAlert);
}

function toHeld(row: AlertRow): HeldAlert {
  const { id: _, ...alert } = toAlert(row);
  return { id: row.id, alert, was: alert, behind: row.behind, newEvents: [] };
}

function rowKey(row: AlertRow): string {
  return keyOf(row.kind, row.agent_id, row.watch, row.key);
}

export function subjectKey({ kind, agentId, watch, key }: AlertSubject): string {
  return keyOf(kind, agentId, watch, key);
}

export function watchKey({ kind, agentId, watch }: Pick<AlertSubject, 'kind' | 'agentId' | 'watch'>): string {
  return keyOf(kind, agentId, watch);
}

/** No name has a NUL: PostgreSQL's text does not either. */
function keyOf(...parts: readonly string[]): string {
  return parts.join('\0');
}
