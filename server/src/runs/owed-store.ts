import type { Query } from '../db/query.ts';
import { FIRST_END, type OpenDispatch, STATES, stateOf } from './dispatch.ts';
import type { TaskOrder } from './wire.ts';

/** What agents are owed. Rows are small here: what a task is made of is read once for each run, however many agents it goes to. */
export interface OwedStore {
  /** What these agents may have, and who of them has more waiting. At most 200 agents at a time, so that others get their turn. */
  openAt(agentIds: readonly string[], now: Date): Promise<{ open: OwedDispatch[]; waiting: string[] }>;
  /**
   * The oldest queued dispatches that each agent has room for. Marked as sent in the same statement, before anything is handed over.
   * @returns them, oldest run first
   */
  takeQueued(rooms: readonly AgentRoom[], now: Date): Promise<Owed[]>;
  orders(runIds: readonly string[]): Promise<TaskOrder[]>;
  /**
   * Of agents that are connected: what was sent and not accepted, and who has something queued, each for longer than that. Reads all
   * dispatches of open runs.
   */
  unaccepted(since: Date, now: Date): Promise<{ unanswered: Owed[]; waiting: string[] }>;
}

/** A dispatch to be handed over. */
export interface Owed {
  readonly runId: string;
  readonly agentId: string;
  readonly parameterBytes: number;
}

export type OwedDispatch = Owed & OpenDispatch;

export interface AgentRoom {
  readonly agentId: string;
  readonly places: number;
  /** Of parameters. */
  readonly bytes: number;
}

/** Of one statement; the rest is said again the next time. */
const MAX_UNANSWERED = 5_000;

interface OwedRow {
  run_id: string;
  agent_id: string;
  bytes: number;
}

const toOwed = (row: OwedRow): Owed => ({ runId: row.run_id, agentId: row.agent_id, parameterBytes: row.bytes });

export function createOwedStore(query: Query): OwedStore {
  return {
    async openAt(agentIds, now) {
      const { rows } = await query<OwedRow & { state: number; cancelled: boolean; expired: boolean }>({
        name: 'open-at',
        text: `
          with open as materialized (
            select d.run_id, d.agent_id, d.state, r.cancelled_at is not null as cancelled, r.expires_at <= $2 as expired,
              octet_length(r.parameters) as bytes
            from runs r join dispatches d on d.run_id = r.id
            where r.ended_at is null and d.agent_id = any($1) and d.state < ${FIRST_END})
          select * from open where state <> ${STATES.queued}
          union all
          select distinct '', agent_id, ${STATES.queued}::smallint, false, false, 0 from open where state = ${STATES.queued}
          order by run_id`,
        values: [agentIds, now],
      });
      const open: OwedDispatch[] = [];
      const waiting: string[] = [];
      for (const row of rows) {
        const state = stateOf(row.state);
        if (state === 'sent' || state === 'accepted' || state === 'running') {
          open.push({ ...toOwed(row), state, runCancelled: row.cancelled, expired: row.expired });
        } else waiting.push(row.agent_id);
      }
      return { open, waiting };
    },

    async takeQueued(rooms, now) {
      const { rows } = await query<OwedRow>({
        name: 'take-queued',
        text: `
          with room as (select * from unnest($1::text[], $2::int[], $3::int[]) as room(agent_id, places, bytes)),
          open as materialized (
            select id, octet_length(parameters) as bytes from runs
            where ended_at is null and cancelled_at is null and expires_at > $4),
          waiting as (
            select d.run_id, d.agent_id, open.bytes, room.places, room.bytes as limit_bytes,
              row_number() over oldest as place, sum(open.bytes) over oldest as total_bytes
            from room cross join open join dispatches d on d.run_id = open.id and d.agent_id = room.agent_id
            where d.state = ${STATES.queued}
            window oldest as (partition by d.agent_id order by d.run_id rows unbounded preceding)),
          sent as (
            update dispatches d set state = ${STATES.sent}, sent_at = $4 from waiting w
            where w.place <= w.places and w.total_bytes <= w.limit_bytes
              and d.run_id = w.run_id and d.agent_id = w.agent_id and d.state = ${STATES.queued}
            returning d.run_id, d.agent_id, w.bytes)
          select * from sent order by run_id`,
        values: [
          rooms.map((room) => room.agentId),
          rooms.map((room) => room.places),
          rooms.map((room) => room.bytes),
          now,
        ],
      });
      return rows.map(toOwed);
    },

    async orders(runIds) {
      const { rows } = await query<{
        id: string;
        pack_digest: Buffer;
        pack_name: string;
        task_name: string;
        parameters: string;
        parameters_from: Record<string, string> | null;
        timeout_ms: number;
        expires_at: Date;
      }>({
        name: 'orders',
        text: 'select id, pack_digest, pack_name, task_name, parameters, parameters_from, timeout_ms, expires_at from runs where id = any($1)',
        values: [runIds],
      });
      return rows.map((row) => ({
        runId: row.id,
        packDigest: row.pack_digest,
        packName: row.pack_name,
        taskName: row.task_name,
        parametersJson: row.parameters,
        parametersFrom: row.parameters_from ?? undefined,
        timeoutMs: row.timeout_ms,
        expiresAt: row.expires_at,
      }));
    },

    async unaccepted(since, now) {
      const { rows } = await query<{ run_id: string | null; agent_id: string; bytes: number }>({
        name: 'unaccepted',
        text: `
          with owed as materialized (
            select d.run_id, d.agent_id, d.state, octet_length(r.parameters) as bytes
            from runs r join dispatches d on d.run_id = r.id join agents a on a.id = d.agent_id
            where a.online and r.ended_at is null and r.cancelled_at is null and r.expires_at > $2
              and d.state in (${STATES.queued}, ${STATES.sent}) and coalesce(d.sent_at, d.queued_at) < $1)
          (select run_id, agent_id, bytes from owed where state = ${STATES.sent} order by run_id limit ${MAX_UNANSWERED})
          union all
          select distinct null, agent_id, 0 from owed where state = ${STATES.queued}`,
        values: [since, now],
      });
      const unanswered: Owed[] = [];
      const waiting: string[] = [];
      for (const { run_id, ...row } of rows) {
        if (run_id === null) waiting.push(row.agent_id);
        else unanswered.push(toOwed({ ...row, run_id }));
      }
      return { unanswered, waiting };
    },
  };
}
