import { effectiveLabels } from '@openline/proto/properties';
import type { Pool } from 'pg';
import type { Attributes } from '../agents/selector.ts';
import { createQuery } from '../db/query.ts';
import type { Tx } from '../db/transaction.ts';
import type { Verdict } from './diagnosis.ts';
import type { Cover, Ended } from './line.ts';
import type { Target } from './probes.ts';
import type { SavedLine } from './saved-line.ts';

export interface KnownAgent {
  readonly agent: Attributes;
  readonly seenAt: Date;
}

export interface LineStore {
  /** Agents that were connected at some time and are not revoked, page by page. */
  known(afterId: string, limit: number): Promise<KnownAgent[]>;
  /** Of these, whether connected or not. */
  attributes(agentIds: readonly string[]): Promise<Attributes[]>;
  saved(): Promise<SavedLine[]>;
  /** Agents that are deleted meanwhile are left out. */
  save(tx: Tx, lines: readonly SavedLine[], forget: readonly string[]): Promise<void>;
  targets(agentIds: readonly string[]): Promise<ReadonlyMap<string, Target>>;
}

interface AgentRow {
  id: string;
  name: string;
  labels: Record<string, string>;
  pinned_labels: Record<string, string>;
  facts: Record<string, string>;
}

/** "10.0.0.1:5000" → "10.0.0.1" */
const HOST_SQL = `regexp_replace(remote_address, ':[0-9]+$', '')`;

/** @param ownCluster whose nodes can be asked about: the agents of these are called as they are */
export function createLineStore(pool: Pool, ownCluster: string): LineStore {
  const query = createQuery(pool);
  return {
    async known(afterId, limit) {
      const { rows } = await query<AgentRow & { seen: Date }>(
        `select id, name, labels, pinned_labels, facts, coalesce(last_seen_at, connected_at) as seen from agents
         where id > $1 and revoked_at is null and connected_at is not null order by id limit $2`,
        [afterId, limit],
      );
      return rows.map((row) => ({ agent: toAttributes(row), seenAt: row.seen }));
    },

    async attributes(agentIds) {
      const { rows } = await query<AgentRow>(
        'select id, name, labels, pinned_labels, facts from agents where id = any($1)',
        [agentIds],
      );
      return rows.map(toAttributes);
    },

    async saved() {
      const { rows } = await query<{
        agent_id: string;
        ended: Ended;
        why: string;
        since: Date;
        cover: '' | Cover['kind'];
        suppressed: boolean;
        outage: string;
        verdict: Verdict;
      }>('select * from agent_lines');
      return rows.map(({ agent_id, ended, why, since, cover, suppressed, outage, verdict }) => ({
        agentId: agent_id,
        loss: { ended, why, sinceUnixMs: since.getTime() },
        cover: toCover(cover, suppressed, outage),
        verdict,
      }));
    },

    async save(tx, lines, forget) {
      if (forget.length > 0)
        await tx.query({
          name: 'lines-forget',
          text: 'delete from agent_lines where agent_id = any($1)',
          values: [forget],
        });
      if (lines.length === 0) return;
      await tx.query({
        name: 'lines-save',
        text: `
          insert into agent_lines (agent_id, ended, why, since, cover, suppressed, outage, verdict)
          select l.agent_id, l.ended, l.why, to_timestamp(l.since_ms / 1000.0), l.cover, l.suppressed, l.outage, l.verdict
          from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::boolean[], $7::text[], $8::text[])
            as l(agent_id, ended, why, since_ms, cover, suppressed, outage, verdict)
          join agents a on a.id = l.agent_id
          on conflict (agent_id) do update set ended = excluded.ended, why = excluded.why, since = excluded.since,
            cover = excluded.cover, suppressed = excluded.suppressed, outage = excluded.outage, verdict = excluded.verdict`,
        values: [
          lines.map(({ agentId }) => agentId),
          lines.map(({ loss }) => loss.ended),
          lines.map(({ loss }) => loss.why),
          lines.map(({ loss }) => loss.sinceUnixMs),
          lines.map(({ cover }) => cover?.kind ?? ''),
          lines.map(({ cover }) => cover?.kind === 'own' && cover.suppressed),
          lines.map(({ cover }) => (cover?.kind === 'outage' ? cover.key : '')),
          lines.map(({ verdict }) => verdict),
        ],
      });
    },

    async targets(agentIds) {
      const { rows } = await query<{ id: string; remote_address: string; node: string | null; shared: boolean }>({
        name: 'lines-targets',
        text: `
          with asked as materialized (
            select id, name, remote_address, cluster, node_uid, ${HOST_SQL} as host from agents where id = any($1)),
          -- Everybody is looked at once, and not once for each that is asked about: that took seconds in a large fleet.
          shared as (
            select host from (
              select ${HOST_SQL} as host, coalesce(facts ->> 'hostname', '') as hostname from agents where revoked_at is null) everybody
            where host in (select host from asked) group by host having count(distinct hostname) > 1)
          select a.id, a.remote_address, case when a.node_uid <> '' and a.cluster = $2 then a.name end as node,
            a.host in (select host from shared) as shared
          from asked a`,
        values: [agentIds, ownCluster],
      });
      return new Map(
        rows.map(({ id, remote_address, node, shared }) => [
          id,
          { remoteAddress: remote_address, node: node ?? undefined, shared },
        ]),
      );
    },
  };
}

function toAttributes({ id, name, labels, pinned_labels, facts }: AgentRow): Attributes {
  return { id, name, labels: effectiveLabels(labels, pinned_labels), facts };
}

function toCover(kind: '' | Cover['kind'], suppressed: boolean, outage: string): Cover | undefined {
  switch (kind) {
    case '':
      return undefined;
    case 'own':
      return { kind, suppressed };
    case 'outage':
      return { kind, key: outage };
    case 'none':
      return { kind };
    default:
      return kind satisfies never;
  }
}
