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

/**
 * A run with the counts of its targets: in its row once it has ended, else counted now. Run by run, since of several at once the planner takes each to be
 * of the average size, and reads the whole table.
 */
const RUN = `select r.*, case when r.counts is null then (
    select jsonb_object_agg(s.state, s.n) from
      (select state, count(*) as n from dispatches where run_id = r.id group by state) s) end as live_counts
  from runs r`;

export function createRunQueries(query: Query): RunQueries {
  return {
    async findByKey(principalId, key) {
      const { rows } = await query<RunRow & { request_hash: Buffer }>(
        `${RUN} where r.principal_id = $1 and r.idempotency_key = $2`,
        [principalId, key],
      );
      const [row] = rows;
      return row && { run: toRunView(row), requestHash: row.request_hash };
    },

    async run(runId) {
      const { rows } = await query<RunRow>({ name: 'run', text: `${RUN} where r.id = $1`, values: [runId] });
      const [row] = rows;
      return row && toRunView(row);
    },

    async dispatches(runId, agentIds) {
      const { rows } = await query<DispatchRow>(
        agentIds === undefined
          ? {
              name: 'dispatches',
              text: 'select * from dispatches where run_id = $1 order by agent_name',
              values: [runId],
            }
          : {
              name: 'some-dispatches',
              text: 'select * from dispatches where run_id = $1 and agent_id = any($2) order by agent_name',
              values: [runId, agentIds],
            },
      );
      return rows.map(toDispatchView);
    },

    async list({ limit, before, openOnly, task }) {
      const { rows } = await query<RunRow>(
        `${RUN}
         where ($2::timestamptz is null or (r.created_at, r.id) < ($2, $3)) and (not $4 or r.ended_at is null)
           and ($5 = '' or r.pack_name || '/' || r.task_name = $5)
         order by r.created_at desc, r.id desc limit $1`,
        [limit, before?.createdAt ?? null, before?.id ?? null, openOnly, task],
      );
      return rows.map(toRunView);
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
