import type { Query } from '../db/query.ts';
import { type DispatchRow, type RunRow, toDispatchView, toRunView } from './rows.ts';
import type { DispatchView, RunView } from './run-service.ts';

/** What people read of runs. Changes nothing. */
export interface RunQueries {
  findByKey(principalId: string, key: string): Promise<{ run: RunView; requestHash: Buffer } | undefined>;
  run(runId: string): Promise<RunView | undefined>;
  dispatches(runId: string, agentIds?: readonly string[]): Promise<DispatchView[]>;
  list(query: {
    limit: number;
    before: { createdAt: Date; id: string } | undefined;
    openOnly: boolean;
    task: string;
  }): Promise<RunView[]>;
  readOutput(runId: string, agentId: string, fromOffset: number, limit: number): Promise<StoredChunk[]>;
}

export interface StoredChunk {
  readonly offset: number;
  readonly stream: number;
  readonly data: Buffer;
}

export function createRunQueries(query: Query): RunQueries {
  return {
    async findByKey(principalId, key) {
      const { rows } = await query<RunRow & { request_hash: Buffer }>(
        'select * from runs where principal_id = $1 and idempotency_key = $2',
        [principalId, key],
      );
      const [row] = rows;
      if (row === undefined) return undefined;
      return { run: toRunView(row, await liveCounts(query, [row])), requestHash: row.request_hash };
    },

    async run(runId) {
      const { rows } = await query<RunRow>({ name: 'run', text: 'select * from runs where id = $1', values: [runId] });
      const [row] = rows;
      return row && toRunView(row, await liveCounts(query, [row]));
    },

    async dispatches(runId, agentIds) {
      const { rows } = await query<DispatchRow>({
        name: 'dispatches',
        text: `select * from dispatches where run_id = $1 and ($2::text[] is null or agent_id = any($2)) order by agent_name`,
        values: [runId, agentIds ?? null],
      });
      return rows.map(toDispatchView);
    },

    async list({ limit, before, openOnly, task }) {
      const { rows } = await query<RunRow>(
        `select * from runs
         where ($2::timestamptz is null or (created_at, id) < ($2, $3)) and (not $4 or ended_at is null)
           and ($5 = '' or pack_name || '/' || task_name = $5)
         order by created_at desc, id desc limit $1`,
        [limit, before?.createdAt ?? null, before?.id ?? null, openOnly, task],
      );
      const counts = await liveCounts(query, rows);
      return rows.map((row) => toRunView(row, counts));
    },

    async readOutput(runId, agentId, fromOffset, limit) {
      const { rows } = await query<{ byte_offset: number; stream: number; data: Buffer }>({
        name: 'read-output',
        text: `select byte_offset, stream, data from output_chunks
          where run_id = $1 and agent_id = $2 and byte_offset + length(data) > $3 order by byte_offset limit $4`,
        values: [runId, agentId, fromOffset, limit],
      });
      return rows.map((row) => ({ offset: row.byte_offset, stream: row.stream, data: row.data }));
    },
  };
}

/** Counts of runs that are still open; those of ended runs stand in their rows. */
async function liveCounts(query: Query, runs: readonly RunRow[]): Promise<Map<string, Record<string, number>>> {
  const open = runs.filter((run) => run.counts === null).map((run) => run.id);
  if (open.length === 0) return new Map();
  const { rows } = await query<{ run_id: string; counts: Record<string, number> }>({
    name: 'live-counts',
    text: `select run_id, jsonb_object_agg(state, n) as counts
      from (select run_id, state, count(*) as n from dispatches where run_id = any($1) group by run_id, state) s group by run_id`,
    values: [open],
  });
  return new Map(rows.map((row) => [row.run_id, row.counts]));
}
