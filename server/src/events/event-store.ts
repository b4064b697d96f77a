import type { NodeEvent } from '@openline/packs';
import { eventColumns } from '../alerts/rows.ts';
import type { Tx } from '../db/transaction.ts';
import { type MonitorRecord, monitorStateNumber, monitorStateOf } from './event.ts';
import { monitorKey } from './plan.ts';

/** The statements of the intake, within its transaction. Each takes a whole set; all but the first may count on the positions being locked. */

export interface Position {
  readonly spoolId: string;
  readonly seq: number;
}

/**
 * How far these agents' spools were taken in; locked until the end of the transaction. Left out: agents that are gone or revoked, and those whose
 * session is not the one of this epoch any more.
 */
export async function lockPositions(
  tx: Tx,
  sessions: readonly { readonly agentId: string; readonly epoch: number }[],
): Promise<Map<string, Position>> {
  const found = await selectPositions(tx, sessions);
  const missing = sessions.filter(({ agentId }) => !found.has(agentId));
  if (missing.length === 0) return found;
  await tx.query({
    name: 'event-positions-add',
    text: 'insert into event_positions (agent_id) select id from agents where id = any($1) on conflict do nothing',
    values: [missing.map(({ agentId }) => agentId)],
  });
  for (const [agentId, position] of await selectPositions(tx, missing)) found.set(agentId, position);
  return found;
}

async function selectPositions(
  tx: Tx,
  sessions: readonly { readonly agentId: string; readonly epoch: number }[],
): Promise<Map<string, Position>> {
  const { rows } = await tx.query<{ agent_id: string; spool_id: string; seq: number }>({
    name: 'event-positions-lock',
    text: `select p.agent_id, p.spool_id, p.seq from unnest($1::text[], $2::bigint[]) as s(agent_id, epoch)
      join agents a on a.id = s.agent_id and a.epoch = s.epoch and a.revoked_at is null
      join event_positions p on p.agent_id = s.agent_id
      order by p.agent_id for update of p`,
    values: [sessions.map((s) => s.agentId), sessions.map((s) => s.epoch)],
  });
  return new Map(rows.map((row) => [row.agent_id, { spoolId: row.spool_id, seq: row.seq }]));
}

export async function writePositions(
  tx: Tx,
  positions: readonly (Position & { readonly agentId: string })[],
): Promise<void> {
  await tx.query({
    name: 'event-positions-write',
    text: `update event_positions p set spool_id = s.spool_id, seq = s.seq
      from unnest($1::text[], $2::text[], $3::bigint[]) as s(agent_id, spool_id, seq) where p.agent_id = s.agent_id`,
    values: [positions.map((p) => p.agentId), positions.map((p) => p.spoolId), positions.map((p) => p.seq)],
  });
}

type MonitorId = Pick<MonitorRecord, 'agentId' | 'pack' | 'monitor' | 'instance'>;

/** What is known of these monitors, by `monitorKey`. */
export async function readMonitors(tx: Tx, monitors: readonly MonitorId[]): Promise<Map<string, MonitorRecord>> {
  const { rows } = await tx.query<MonitorRow>({
    name: 'monitors-read',
    text: `select m.* from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as s(agent_id, pack, monitor, instance)
      join monitor_states m using (agent_id, pack, monitor, instance)`,
    values: idColumns(monitors),
  });
  return new Map(rows.map(toMonitor).map((record) => [monitorKey(record), record]));
}

/** How many instances of monitors these agents have. */
export async function countMonitors(tx: Tx, agentIds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await tx.query<{ agent_id: string; n: number }>({
    name: 'monitors-count',
    text: 'select agent_id, count(*) as n from monitor_states where agent_id = any($1) group by agent_id',
    values: [agentIds],
  });
  return new Map(rows.map((row) => [row.agent_id, row.n]));
}

export async function writeMonitors(tx: Tx, records: readonly MonitorRecord[]): Promise<void> {
  await tx.query({
    name: 'monitors-write',
    text: `insert into monitor_states (agent_id, pack, monitor, instance, state, since, reason, sample, spell, hushed)
      select s.agent_id, s.pack, s.monitor, s.instance, s.state, to_timestamp(s.since_ms / 1000.0), s.reason, s.sample, s.spell, s.hushed
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::float8[], $7::text[], $8::text[], $9::text[],
        $10::smallint[]) as s(agent_id, pack, monitor, instance, state, since_ms, reason, sample, spell, hushed)
      on conflict (agent_id, pack, monitor, instance) do update set state = excluded.state, since = excluded.since,
        reason = excluded.reason, sample = excluded.sample, spell = excluded.spell, hushed = excluded.hushed`,
    values: [
      ...idColumns(records),
      records.map((r) => monitorStateNumber(r.state)),
      records.map((r) => r.since.getTime()),
      records.map((r) => r.reason),
      records.map((r) => r.sampleJson),
      records.map((r) => r.spell),
      records.map((r) => (r.hushed === undefined ? 0 : monitorStateNumber(r.hushed))),
    ],
  });
}

export async function forgetMonitors(tx: Tx, monitors: readonly MonitorId[]): Promise<void> {
  await tx.query({
    name: 'monitors-forget',
    text: `delete from monitor_states m using unnest($1::text[], $2::text[], $3::text[], $4::text[]) as s(agent_id, pack, monitor, instance)
      where m.agent_id = s.agent_id and m.pack = s.pack and m.monitor = s.monitor and m.instance = s.instance`,
    values: idColumns(monitors),
  });
}

/** Raises none for these until they were healthy, or got worse. @returns of which of them a person has closed the alert of an ill one */
export async function hushMonitors(tx: Tx, monitors: readonly MonitorId[]): Promise<MonitorRecord[]> {
  const { rows } = await tx.query<MonitorRow>({
    name: 'monitors-hush',
    text: `update monitor_states m set hushed = m.state
      from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as s(agent_id, pack, monitor, instance)
      where m.agent_id = s.agent_id and m.pack = s.pack and m.monitor = s.monitor and m.instance = s.instance
        and m.state in (${monitorStateNumber('warning')}, ${monitorStateNumber('critical')})
      returning m.*`,
    values: idColumns(monitors),
  });
  return rows.map(toMonitor);
}

export interface NewEvent {
  readonly agentId: string;
  readonly event: NodeEvent;
  readonly watch: string;
  readonly alertId: string | undefined;
  readonly lost: number | undefined;
}

export async function insertEvents(tx: Tx, events: readonly NewEvent[]): Promise<void> {
  await tx.query({
    name: 'events-insert',
    text: `insert into events (agent_id, watch, alert_id, lost, log, source, event_id, level, at, message, data)
      select e.agent_id, e.watch, e.alert_id, e.lost, e.log, e.source, e.event_id, e.level, to_timestamp(e.at_ms / 1000.0), e.message, e.data
      from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::float8[],
        $10::text[], $11::text[]) as e(agent_id, watch, alert_id, lost, log, source, event_id, level, at_ms, message, data)`,
    values: [
      events.map((e) => e.agentId),
      events.map((e) => e.watch),
      events.map((e) => e.alertId ?? null),
      events.map((e) => e.lost ?? null),
      ...eventColumns(events.map((e) => e.event)),
    ],
  });
}

interface MonitorRow {
  agent_id: string;
  pack: string;
  monitor: string;
  instance: string;
  state: number;
  since: Date;
  reason: string;
  sample: string;
  spell: string;
  hushed: number;
}

function toMonitor(row: MonitorRow): MonitorRecord {
  return {
    agentId: row.agent_id,
    pack: row.pack,
    monitor: row.monitor,
    instance: row.instance,
    state: monitorStateOf(row.state),
    since: row.since,
    reason: row.reason,
    sampleJson: row.sample,
    spell: row.spell,
    hushed: hushedOf(row.hushed),
  };
}

function hushedOf(number: number): MonitorRecord['hushed'] {
  const state = number === 0 ? undefined : monitorStateOf(number);
  return state === 'warning' || state === 'critical' ? state : undefined;
}

function idColumns(monitors: readonly MonitorId[]): string[][] {
  return [
    monitors.map((m) => m.agentId),
    monitors.map((m) => m.pack),
    monitors.map((m) => m.monitor),
    monitors.map((m) => m.instance),
  ];
}
