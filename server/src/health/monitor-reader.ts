import { type Kysely, sql } from 'kysely';
import type { Pool } from 'pg';
import * as z from 'zod';
import { parseSelector, selectorSql } from '../agents/selector.ts';
import { createQuery } from '../db/query.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import { monitorStateNumber, monitorStateOf } from '../events/event.ts';
import { pageTokenOf, readPageToken } from '../page-token.ts';
import type { State } from './rollup.ts';

/** Its rank, and the names of its agent, pack, monitor and instance. */
const SORTED_BY = z.tuple([z.int().min(0).max(100), z.string(), z.string(), z.string(), z.string()]);

/** One monitor on one agent, as last known. */
export interface MonitorView {
  readonly agentId: string;
  readonly agentName: string;
  /** "pack/monitor" */
  readonly monitor: string;
  readonly instance: string;
  readonly state: State;
  readonly since: Date;
  readonly reason: string;
  readonly sampleJson: string;
  /** A reset waits for the agent. */
  readonly resetPending: boolean;
}

export interface MonitorFilter {
  /** Empty: all agents. */
  readonly targets: string;
  /** Empty: any. */
  readonly states: readonly State[];
  /** "pack" or "pack/monitor"; empty: all. */
  readonly monitor: string;
}

/** How many monitors of an agent are ill. */
export interface IllCounts {
  readonly warning: number;
  readonly critical: number;
  readonly unknown: number;
}

export interface MonitorReader {
  /** The worst first. @throws OpenlineError TARGETS_INVALID, REQUEST_INVALID */
  list(
    filter: MonitorFilter,
    page: { readonly limit: number; readonly pageToken: string },
  ): Promise<{ monitors: MonitorView[]; nextPageToken: string }>;
  /** Of agents with any that is not healthy. */
  ill(): Promise<ReadonlyMap<string, IllCounts>>;
}

/** The worst first. */
const RANKS = ['critical', 'warning', 'unknown', 'healthy'] as const satisfies readonly State[];
const rankSql = sql<number>`case m.state
  ${sql.join(
    RANKS.map((state, rank) => sql`when ${sql.lit(monitorStateNumber(state))} then ${sql.lit(rank)}`),
    sql` `,
  )} end`;

export function createMonitorReader({ db, pool }: { db: Kysely<Schema>; pool: Pool }): MonitorReader {
  const query = createQuery(pool);
  return {
    async list({ targets, states, monitor }, { limit, pageToken }) {
      const after = readPageToken(pageToken, SORTED_BY);
      const [pack = '', name] = monitor.split('/');
      const selected = targets === '' ? sql<boolean>`true` : selectorSql(parseSelector(targets));
      const key = sql`(${rankSql}, agents.name, m.pack, m.monitor, m.instance)`;
      const { rows } = await storeErrors(
        sql<{
          agent_id: string;
          name: string;
          pack: string;
          monitor: string;
          instance: string;
          state: number;
          since: Date;
          reason: string;
          sample: string;
          pending: boolean;
        }>`
          select m.agent_id, agents.name, m.pack, m.monitor, m.instance, m.state, m.since, m.reason, m.sample, exists (
            select 1 from monitor_resets r where r.closed_at is null and r.agent_id = m.agent_id and r.pack = m.pack
              and r.monitor = m.monitor and r.instance in ('', m.instance)) as pending
          from monitor_states m join agents on agents.id = m.agent_id
          where agents.revoked_at is null and ${selected}
            and (${pack} = '' or m.pack = ${pack}) and (${name ?? null}::text is null or m.monitor = ${name ?? null})
            and (${states.length} = 0 or m.state = any(${states.map(monitorStateNumber)}::smallint[]))
            and (${after === undefined} or ${key} >
              (${after?.[0] ?? 0}::int, ${after?.[1] ?? ''}, ${after?.[2] ?? ''}, ${after?.[3] ?? ''}, ${after?.[4] ?? ''}))
          order by ${key} limit ${limit}`.execute(db),
      );
      const last = rows.at(-1);
      const rank = last === undefined ? 0 : RANKS.indexOf(monitorStateOf(last.state));
      return {
        monitors: rows.map((row) => ({
          agentId: row.agent_id,
          agentName: row.name,
          monitor: `${row.pack}/${row.monitor}`,
          instance: row.instance,
          state: monitorStateOf(row.state),
          since: row.since,
          reason: row.reason,
          sampleJson: row.sample,
          resetPending: row.pending,
        })),
        nextPageToken:
          last === undefined || rows.length < limit
            ? ''
            : pageTokenOf([rank, last.name, last.pack, last.monitor, last.instance]),
      };
    },

    async ill() {
      const { rows } = await query<{ agent_id: string; warning: number; critical: number; unknown: number }>({
        name: 'monitors-ill',
        text: `
          select agent_id, count(*) filter (where state = $1) as warning, count(*) filter (where state = $2) as critical,
            count(*) filter (where state = $3) as unknown
          from monitor_states where state in ($1, $2, $3) group by agent_id`,
        values: (['warning', 'critical', 'unknown'] as const).map(monitorStateNumber),
      });
      return new Map(rows.map(({ agent_id, ...counts }) => [agent_id, counts]));
    },
  };
}
