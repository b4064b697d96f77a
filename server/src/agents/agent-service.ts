import { OpenlineError } from '@openline/proto/errors';
import { effectiveLabels } from '@openline/proto/properties';
import { type Kysely, type Selectable, sql } from 'kysely';
import type { AuditLog } from '../audit/audit.ts';
import type { AgentsTable, Schema } from '../db/schema.ts';
import type { AgentPackRecord, AgentRecord, AgentService, Candidate } from './agents.ts';
import { parseSelector, selectorSql, valueSql } from './selector.ts';

export interface AgentServiceDeps {
  readonly db: Kysely<Schema>;
  readonly audit: AuditLog;
  /** Whether a session of the agent is ready, here and now. */
  isConnected(agentId: string): boolean;
  /** Called once it is committed that the agent is revoked or deleted: ends its link, its open dispatches and its alerts. Again, where that failed. */
  onRevoked(agentId: string, reason: string): Promise<void>;
}

const DELETED = 'the agent was deleted';

export function createAgentService({ db, audit, isConnected, onRevoked }: AgentServiceDeps): AgentService {
  const toRecord = (row: Selectable<AgentsTable>): AgentRecord => ({
    id: row.id,
    name: row.name,
    labels: effectiveLabels(row.labels, row.pinned_labels),
    facts: row.facts,
    version: row.version,
    online: isConnected(row.id),
    epoch: row.epoch,
    enrolledAt: row.enrolled_at,
    remoteAddress: row.remote_address,
    ...(row.connected_at && { connectedAt: row.connected_at }),
    ...(row.last_seen_at && { lastSeenAt: row.last_seen_at }),
    ...(row.certificate_expires_at && { certificateExpiresAt: row.certificate_expires_at }),
    ...(row.revoked_at && { revokedAt: row.revoked_at }),
  });

  async function get(idOrName: string): Promise<AgentRecord> {
    const rows = await db
      .selectFrom('agents')
      .selectAll()
      .where((where) => where.or([where('id', '=', idOrName), where('name', '=', idOrName)]))
      // A name may also have belonged to agents that are revoked by now: the living one is meant.
      .orderBy(sql`id = ${idOrName}`, 'desc')
      .orderBy(sql`revoked_at is null`, 'desc')
      .limit(1)
      .execute();
    const [row] = rows;
    if (row === undefined) throw new OpenlineError('AGENT_UNKNOWN', `there is no agent «${idOrName}»`);
    return toRecord(row);
  }

  return {
    get,

    async select(targets, options) {
      const selector = parseSelector(targets);
      let query = db.selectFrom('agents').selectAll().where(selectorSql(selector)).orderBy('name');
      if (!options?.includeRevoked) query = query.where('revoked_at', 'is', null);
      return (await query.execute()).map(toRecord);
    },

    async candidates(targets, keys) {
      const selected =
        typeof targets === 'string'
          ? selectorSql(parseSelector(targets))
          : sql<boolean>`agents.id = any(${targets}::text[])`;
      const rows = await db
        .selectFrom('agents')
        .select(['id', 'name', sql<(string | null)[]>`array[${sql.join(keys.map(valueSql))}]::text[]`.as('values')])
        .where(selected)
        .where('revoked_at', 'is', null)
        .orderBy('name')
        .execute();
      return rows.map(({ id, name, values }): Candidate => ({ id, name, values: values.map((v) => v ?? undefined) }));
    },

    async packsOf(agentIds) {
      const rows = await db
        .selectFrom('agent_packs')
        .innerJoin('packs', 'packs.digest', 'agent_packs.digest')
        .select(['agent_id', 'packs.digest', 'packs.name', 'packs.version', 'ready', 'reason_code', 'reason'])
        .where(sql<boolean>`agent_id = any(${agentIds}::text[])`)
        .orderBy('packs.name')
        .execute();
      const byAgent = new Map<string, AgentPackRecord[]>();
      for (const { agent_id, reason_code, ...rest } of rows) {
        const packs = byAgent.get(agent_id) ?? [];
        packs.push({ ...rest, reasonCode: reason_code });
        byAgent.set(agent_id, packs);
      }
      return byAgent;
    },

    async revoke(by, idOrName, reason) {
      const agent = await get(idOrName);
      await db.transaction().execute(async (trx) => {
        await trx
          .updateTable('agents')
          .set({ revoked_at: sql`coalesce(revoked_at, now())`, revoked_reason: reason })
          .where('id', '=', agent.id)
          .execute();
        await audit.record(
          { principal: by.name, action: 'agent.revoke', object: agent.name, details: { agentId: agent.id, reason } },
          trx,
        );
      });
      await onRevoked(agent.id, reason);
      return get(agent.id);
    },

    async remove(by, idOrName) {
      const agent = await get(idOrName);
      if (isConnected(agent.id)) {
        throw new OpenlineError('AGENT_CONNECTED', `agent «${agent.name}» is connected, so it was not deleted`);
      }
      await db.transaction().execute(async (trx) => {
        await trx.deleteFrom('agents').where('id', '=', agent.id).execute();
        await audit.record(
          { principal: by.name, action: 'agent.delete', object: agent.name, details: { agentId: agent.id } },
          trx,
        );
      });
      // Only then: it may have come back just before.
      await onRevoked(agent.id, DELETED);
    },

    async endGone() {
      const gone = await db
        .selectFrom('alerts')
        .leftJoin('agents', 'agents.id', 'alerts.agent_id')
        .select(['alerts.agent_id', 'agents.revoked_reason'])
        .distinct()
        .where('alerts.closed_at', 'is', null)
        .where('alerts.agent_id', '<>', '')
        .where((where) => where.or([where('agents.id', 'is', null), where('agents.revoked_at', 'is not', null)]))
        .execute();
      for (const { agent_id, revoked_reason } of gone) await onRevoked(agent_id, revoked_reason ?? DELETED);
    },
  };
}
