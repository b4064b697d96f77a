import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { createQuery } from '../db/query.ts';
import { type DispatchChange, FIRST_END, STATES } from './dispatch.ts';
import { createOwedStore, type OwedStore } from './owed-store.ts';
import { createRunQueries, type RunQueries } from './run-queries.ts';
import type { ParametersFrom } from './wire.ts';

/**
 * The one place that writes runs, dispatches and output. Every statement is set-based and prepared by name: these are the hot paths.
 */
export interface RunStore extends RunQueries, OwedStore {
  /**
   * Everything or nothing.
   * @param ifTargets when the targets were taken from memory: stored only if each of them is an agent that holds by this
   * @returns false when the idempotency key was used before, or `ifTargets` does not hold
   */
  insertRun(run: NewRun, dispatches: readonly NewDispatch[], ifTargets?: TargetsHold): Promise<boolean>;
  /** Group commit of what agents and the server said. */
  apply(changes: readonly DispatchChange[]): Promise<Applied[]>;
  storeOutput(chunks: readonly OutputChunk[]): Promise<void>;
  /** Nothing of it is handed over any more. @returns the agents for which it was queued: there it has ended */
  cancel(runId: string, by: string, now: Date): Promise<string[]>;
  openTargets(runId: string): Promise<string[]>;
  /** Ends what nobody will end any more, a piece at a time. @returns the dispatches that ended; none: that was all */
  sweep(limits: SweepLimits): Promise<Ended[]>;
  /** Ends the runs whose last dispatch has ended. @returns those that it ended, or whose counts it refreshed */
  closeRuns(runIds: readonly string[], now: Date): Promise<string[]>;
  /** How many dispatches of these runs are open; without those that have ended or are unknown. */
  openCounts(runIds: readonly string[]): Promise<Map<string, number>>;
  /** Open runs none of whose dispatches is open: somebody died before he could end them. */
  unended(): Promise<string[]>;
  shiftDeadlines(byMs: number): Promise<void>;
  /** Deletes runs with all that belongs to them, a piece at a time. @returns how much was deleted; 0: that was all */
  groom(endedBefore: Date): Promise<number>;
  /** The agent will never come back: what it may have started is lost, the rest is rejected. */
  endForAgent(agentId: string, reason: string, now: Date): Promise<Ended[]>;
  /** The journals of these agents are gone, and with them the knowledge of what they may have started. */
  loseUnknown(agentIds: readonly string[], now: Date): Promise<Ended[]>;
}

export interface Ended {
  readonly runId: string;
  readonly agentId: string;
  readonly state: number;
}

export interface NewRun {
  readonly id: string;
  readonly task: string;
  readonly targets: string;
  readonly packDigest: Buffer;
  readonly packName: string;
  readonly packVersion: string;
  readonly taskName: string;
  readonly parametersJson: string;
  readonly parametersFrom?: ParametersFrom | undefined;
  readonly timeoutMs: number;
  readonly ttlMs: number;
  readonly offline: 'fail' | 'wait';
  readonly requestedBy: string;
  readonly principalId: string;
  readonly idempotencyKey: string | undefined;
  readonly requestHash: Buffer;
  readonly retryOf: string | undefined;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Each target is enrolled by this id and name, is not revoked, and has what the task requires ('*': any value). */
export interface TargetsHold {
  readonly requires: Readonly<Record<string, string>>;
}

export interface NewDispatch {
  readonly agentId: string;
  readonly agentName: string;
  readonly state: 'queued' | 'sent' | 'rejected';
  readonly reasonCode: string;
  readonly reason: string;
}

export interface OutputChunk {
  readonly runId: string;
  readonly agentId: string;
  readonly offset: number;
  readonly stream: 1 | 2;
  readonly data: Uint8Array;
}

/** A change whose session still holds: `taken`, or it told nothing new. */
export interface Applied {
  readonly change: DispatchChange;
  readonly taken: boolean;
}

export interface SweepLimits {
  readonly now: Date;
  /** Unaccepted this long after the end of its run's time to live: nobody can know. */
  readonly sentGraceMs: number;
  /** Without a result this long after its deadline (an agent starts nothing after the time to live): nobody can know. */
  readonly lostAfterMs: number;
}

/**
 * What one statement takes. A statement that reaches its time limit did nothing, so what is too much for one would never be done: after an outage
 * all that a fleet was to do may expire at once, and a run may have gigabytes of output.
 */
const SWEEP_TARGETS = 20_000;
const GROOM_TARGETS = 50_000;
const GROOM_CHUNKS = 4_000;

/** `takes` of dispatch.ts, in SQL. */
const TAKES_SQL = `((d.state < ${FIRST_END} and h.state > d.state) or (d.state = ${STATES.lost} and h.state >= ${FIRST_END} and h.state <> ${STATES.lost}))`;

/** `valueSql` of selector.ts, for the key of a row `r`. */
const VALUE_SQL = `case r.key when 'name' then agents.name when 'id' then agents.id
  else coalesce(agents.pinned_labels ->> r.key, agents.labels ->> r.key, agents.facts ->> r.key) end`;

/** One parameter with a value of each; null where none has one, which the driver and PostgreSQL need not read a thousand times. */
function columnOf<Item, T>(items: readonly Item[], of: (item: Item) => T | null | undefined): (T | null)[] | null {
  const values = items.map((item) => of(item) ?? null);
  return values.some((value) => value !== null) ? values : null;
}

interface EndedRow {
  run_id: string;
  agent_id: string;
  state: number;
}

const toEnded = (row: EndedRow): Ended => ({ runId: row.run_id, agentId: row.agent_id, state: row.state });

export function createRunStore(pool: Pool): RunStore {
  const query = createQuery(pool);
  return {
    ...createRunQueries(query),
    ...createOwedStore(query),

    async insertRun(run, dispatches, ifTargets) {
      const { rows } = await query<{ id: string }>({
        name: 'insert-run',
        text: `
          with target as (
            select * from unnest($20::text[], $21::text[], $22::smallint[], $23::text[], $24::text[])
              as t(agent_id, agent_name, state, reason_code, reason)),
          required as (select * from unnest($27::text[], $28::text[]) as r(key, wanted)),
          run as (
            insert into runs (id, task, targets, pack_digest, pack_name, pack_version, task_name, parameters, timeout_ms, ttl_ms, offline,
              requested_by, principal_id, idempotency_key, request_hash, retry_of, created_at, expires_at, target_count, parameters_from)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $29::jsonb
            where not $26 or not exists (
              select from target t left join agents on agents.id = t.agent_id and agents.name = t.agent_name and agents.revoked_at is null
              where agents.id is null or exists (
                select from required r, lateral (select ${VALUE_SQL} as value) has
                where has.value is null or r.wanted not in ('*', has.value)))
            on conflict (principal_id, idempotency_key) where idempotency_key is not null do nothing
            returning id, created_at),
          dispatch as (
            insert into dispatches (run_id, agent_id, agent_name, state, reason_code, reason, queued_at, sent_at, ended_at)
            select run.id, t.agent_id, t.agent_name, t.state, coalesce(t.reason_code, ''), coalesce(t.reason, ''), run.created_at,
              case when t.state = ${STATES.sent} then run.created_at end, case when t.state >= ${FIRST_END} then run.created_at end
            from run, target t),
          audited as (
            insert into audit (at, principal, action, object, details)
            select run.created_at, $12, 'run.submit', run.id, $25::jsonb from run)
          select id from run`,
        values: [
          run.id,
          run.task,
          run.targets,
          run.packDigest,
          run.packName,
          run.packVersion,
          run.taskName,
          run.parametersJson,
          run.timeoutMs,
          run.ttlMs,
          run.offline,
          run.requestedBy,
          run.principalId,
          run.idempotencyKey ?? null,
          run.requestHash,
          run.retryOf ?? null,
          run.createdAt,
          run.expiresAt,
          dispatches.length,
          dispatches.map((d) => d.agentId),
          dispatches.map((d) => d.agentName),
          dispatches.map((d) => STATES[d.state]),
          columnOf(dispatches, (d) => d.reasonCode || null),
          columnOf(dispatches, (d) => d.reason || null),
          JSON.stringify({
            task: `${run.packName}@${run.packVersion}/${run.taskName}`,
            targets: run.targets,
            targetCount: dispatches.length,
            // Not the values: the log is kept for ever.
            parametersSha256: createHash('sha256').update(run.parametersJson).digest('hex'),
            parametersFrom: run.parametersFrom,
            retryOf: run.retryOf,
          }),
          ifTargets !== undefined,
          Object.keys(ifTargets?.requires ?? {}),
          Object.values(ifTargets?.requires ?? {}),
          run.parametersFrom === undefined ? null : JSON.stringify(run.parametersFrom),
        ],
      });
      return rows.length === 1;
    },

    async apply(changes) {
      const column = <T>(of: (change: DispatchChange) => T | null | undefined) => columnOf(changes, of);
      const { rows } = await query<{ held: number[]; changed: number[] }>({
        name: 'apply-changes',
        text: `
          with u as (
            select * from unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::int[], $8::text[],
              $9::float8[], $10::float8[], $11::float8[], $12::smallint[], $13::text[], $14::bigint[], $15::bigint[],
              $16::text[], $17::jsonb[]) with ordinality
            as u(run_id, agent_id, epoch, state, reason_code, reason, exit_code, signal, accepted_ms, started_ms, ended_ms,
              progress_percent, progress_note, output_bytes, output_dropped_bytes, view, parameters_from, place)),
          h as (
            select u.* from u left join agents a on a.id = u.agent_id where u.epoch = 0 or a.epoch = u.epoch),
          changed as (
            update dispatches d set
              state = h.state,
              reason_code = coalesce(h.reason_code, d.reason_code),
              reason = coalesce(h.reason, d.reason),
              exit_code = coalesce(h.exit_code, d.exit_code),
              signal = coalesce(h.signal, d.signal),
              accepted_at = coalesce(to_timestamp(h.accepted_ms / 1000.0), d.accepted_at),
              started_at = coalesce(to_timestamp(h.started_ms / 1000.0), d.started_at),
              ended_at = coalesce(to_timestamp(h.ended_ms / 1000.0), d.ended_at),
              progress_percent = coalesce(h.progress_percent, d.progress_percent),
              progress_note = coalesce(h.progress_note, d.progress_note),
              output_bytes = coalesce(h.output_bytes, d.output_bytes),
              output_dropped_bytes = coalesce(h.output_dropped_bytes, d.output_dropped_bytes),
              view = coalesce(h.view, d.view),
              parameters_from = coalesce(d.parameters_from, h.parameters_from)
            from h
            where d.run_id = h.run_id and d.agent_id = h.agent_id
              and (${TAKES_SQL} or (h.progress_note is not null and d.state = ${STATES.running} and h.state = ${STATES.running}))
            returning h.place)
          -- Two arrays of places in what was given: rows with the ids in them cost more than the update that they tell of.
          select array(select place::int from h order by place) as held, array(select place::int from changed) as changed`,
        values: [
          column((c) => c.runId),
          column((c) => c.agentId),
          column((c) => c.epoch),
          column((c) => STATES[c.state]),
          column((c) => c.reasonCode),
          column((c) => c.reason),
          column((c) => c.exitCode),
          column((c) => c.signal),
          column((c) => c.acceptedAt?.getTime()),
          column((c) => c.startedAt?.getTime()),
          column((c) => c.endedAt?.getTime()),
          column((c) => c.progressPercent),
          column((c) => c.progressNote),
          column((c) => c.outputBytes),
          column((c) => c.outputDroppedBytes),
          column((c) => c.view),
          column((c) => c.parametersFrom && JSON.stringify(c.parametersFrom)),
        ],
      });
      const [{ held, changed } = { held: [], changed: [] }] = rows;
      const told = new Set(changed);
      return held.flatMap((place): Applied[] => {
        const change = changes[place - 1];
        return change === undefined ? [] : [{ change, taken: told.has(place) }];
      });
    },

    async storeOutput(chunks) {
      await query({
        name: 'store-output',
        text: `
          with c as (
            select c.* from unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::bytea[])
              as c(run_id, agent_id, byte_offset, stream, data)
            join dispatches d using (run_id, agent_id)),
          stored as (
            insert into output_chunks (run_id, agent_id, byte_offset, stream, data) select * from c on conflict do nothing)
          update dispatches d set output_stored_bytes = greatest(d.output_stored_bytes, e.stored)
          from (select run_id, agent_id, max(byte_offset + length(data)) as stored from c group by run_id, agent_id) e
          where d.run_id = e.run_id and d.agent_id = e.agent_id`,
        values: [
          chunks.map((c) => c.runId),
          chunks.map((c) => c.agentId),
          chunks.map((c) => c.offset),
          chunks.map((c) => c.stream),
          chunks.map((c) => Buffer.from(c.data.buffer, c.data.byteOffset, c.data.byteLength)),
        ],
      });
    },

    async cancel(runId, by, now) {
      const { rows } = await query<{ agent_id: string }>(
        `with run as (
           update runs set cancelled_at = coalesce(cancelled_at, $2), cancelled_by = case when cancelled_at is null then $3 else cancelled_by end
           where id = $1 and ended_at is null returning id)
         update dispatches d set state = ${STATES.cancelled}, ended_at = $2, reason_code = 'TASK_CANCELLED',
           reason = 'cancelled before it was sent' from run where d.run_id = run.id and d.state = ${STATES.queued} returning d.agent_id`,
        [runId, now, by],
      );
      return rows.map((row) => row.agent_id);
    },

    async openTargets(runId) {
      const { rows } = await query<{ agent_id: string }>(
        `select agent_id from dispatches where run_id = $1 and state < ${FIRST_END}`,
        [runId],
      );
      return rows.map((row) => row.agent_id);
    },

    async sweep({ now, sentGraceMs, lostAfterMs }) {
      const { rows } = await query<EndedRow>({
        name: 'sweep',
        text: `
          with late as (
            select d.run_id, d.agent_id, d.state from runs r join dispatches d on d.run_id = r.id
            where r.ended_at is null and r.expires_at <= $1 and (
              d.state = ${STATES.queued}
              or (d.state = ${STATES.sent} and r.expires_at <= $1::timestamptz - make_interval(secs => $2))
              or (d.state in (${STATES.accepted}, ${STATES.running})
                  and r.expires_at + make_interval(secs => r.timeout_ms / 1000.0 + $3) <= $1))
            limit ${SWEEP_TARGETS})
          update dispatches d set
            state = case when l.state = ${STATES.queued} then ${STATES.expired} else ${STATES.lost} end,
            reason_code = case when l.state = ${STATES.queued} then 'TTL_EXPIRED' else 'AGENT_UNREACHABLE' end,
            reason = case
              when l.state = ${STATES.queued} then 'for the run’s whole time to live the agent was away, or had no room for it'
              when l.state = ${STATES.sent} then 'it was handed to the agent, which never said whether it took it'
              else 'the agent took it and has not reported its end' end,
            ended_at = $1
          -- In the state in which it was found: what an agent said meanwhile stays.
          from late l where d.run_id = l.run_id and d.agent_id = l.agent_id and d.state = l.state
          returning d.run_id, d.agent_id, d.state`,
        values: [now, sentGraceMs / 1000, lostAfterMs / 1000],
      });
      return rows.map(toEnded);
    },

    async closeRuns(runIds, now) {
      const { rows } = await query<{ id: string }>({
        name: 'close-runs',
        text: `
          update runs r set ended_at = coalesce(r.ended_at, $2), counts = c.counts
          -- Run by run, over the key of its targets.
          from unnest($1::text[]) as asked(id), lateral (
            select jsonb_object_agg(s.state, s.n) as counts, bool_or(s.state < ${FIRST_END}) as open
            from (select state, count(*) as n from dispatches where run_id = asked.id group by state) s) c
          where r.id = asked.id and c.open is not true
          returning r.id`,
        values: [runIds, now],
      });
      return rows.map((row) => row.id);
    },

    async openCounts(runIds) {
      const { rows } = await query<{ run_id: string; open: number }>({
        name: 'open-counts',
        text: `select run_id, count(*) as open from dispatches where run_id = any($1) and state < ${FIRST_END} group by run_id`,
        values: [runIds],
      });
      return new Map(rows.map((row) => [row.run_id, row.open]));
    },

    async unended() {
      // By the first open dispatch of each run: to count them all took seconds where much was open.
      const { rows } = await query<{ id: string }>({
        name: 'unended',
        text: `select r.id from runs r
          left join lateral (select true as open from dispatches d where d.run_id = r.id and d.state < ${FIRST_END} limit 1) d on true
          where r.ended_at is null and d.open is null`,
      });
      return rows.map((row) => row.id);
    },

    async shiftDeadlines(byMs) {
      await query(`update runs set expires_at = expires_at + make_interval(secs => $1) where ended_at is null`, [
        byMs / 1000,
      ]);
    },

    async groom(endedBefore) {
      const { rows } = await query<{ id: string }>(
        `select id from (
           select id, row_number() over oldest, sum(target_count) over oldest as targets
           from (select id, ended_at, target_count from runs where ended_at < $1 order by ended_at, id limit 200) ended
           window oldest as (order by ended_at, id)) r
         where row_number = 1 or targets <= $2`,
        [endedBefore, GROOM_TARGETS],
      );
      const ids = rows.map((row) => row.id);
      if (ids.length === 0) return 0;
      const { rowCount } = await query(
        `delete from output_chunks where ctid = any(array(select ctid from output_chunks where run_id = any($1) limit ${GROOM_CHUNKS}))`,
        [ids],
      );
      if (rowCount === GROOM_CHUNKS) return rowCount;
      // One statement, so that output never outlives its run.
      await query(
        `with o as (delete from output_chunks where run_id = any($1)), d as (delete from dispatches where run_id = any($1))
         delete from runs where id = any($1)`,
        [ids],
      );
      return ids.length;
    },

    async endForAgent(agentId, reason, now) {
      const { rows } = await query<EndedRow>(
        `update dispatches d set state = case when d.state = ${STATES.queued} then ${STATES.rejected} else ${STATES.lost} end,
           reason_code = 'AGENT_REVOKED', reason = $2, ended_at = $3
         from runs r where r.ended_at is null and d.run_id = r.id and d.agent_id = $1 and d.state < ${FIRST_END}
         returning d.run_id, d.agent_id, d.state`,
        [agentId, reason, now],
      );
      return rows.map(toEnded);
    },

    async loseUnknown(agentIds, now) {
      const { rows } = await query<EndedRow>(
        `update dispatches d set state = ${STATES.lost}, reason_code = 'JOURNAL_REPLACED', ended_at = $2,
           reason = 'the agent came back with a new journal, so nobody can know whether or how it ran'
         from runs r where r.ended_at is null and d.run_id = r.id and d.agent_id = any($1)
           and d.state in (${STATES.sent}, ${STATES.accepted}, ${STATES.running})
         returning d.run_id, d.agent_id, d.state`,
        [agentIds, now],
      );
      return rows.map(toEnded);
    },
  };
}
