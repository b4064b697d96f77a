import { effectiveLabels } from '@openline/proto/properties';
import type { Pool } from 'pg';
import type { Attributes } from '../agents/selector.ts';
import { createQuery } from '../db/query.ts';

/** What a Hello writes. */
export interface HelloRecord {
  readonly agentId: string;
  readonly journalId: string;
  /** Random for each start of the agent process. */
  readonly instanceId: string;
  readonly version: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
  readonly certificateExpiresAt: Date;
  readonly heldDigests: readonly Buffer[];
}

export type Opened =
  | {
      readonly kind: 'opened';
      /** Its pinned labels included. */
      readonly agent: Attributes;
      readonly pinnedLabels: Readonly<Record<string, string>>;
      readonly epoch: number;
      readonly journalReplaced: boolean;
      readonly sameProcess: boolean;
    }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'revoked'; readonly reason: string };

/** The rows of connected agents. Batches only: a whole fleet may come back at once. */
export interface SessionStore {
  /** Gives each its next epoch. At most one Hello of an agent in a batch. */
  open(hellos: readonly HelloRecord[], now: Date): Promise<Map<string, Opened>>;
  seen(agentIds: readonly string[], now: Date): Promise<void>;
  /** Marks sessions as ended, unless a newer epoch has begun. */
  ended(sessions: readonly { agentId: string; epoch: number }[], now: Date): Promise<void>;
  /** A server that starts holds no session. */
  allOffline(): Promise<void>;
  packStates(states: readonly PackStateRecord[]): Promise<void>;
}

export interface PackStateRecord {
  readonly agentId: string;
  readonly digest: Buffer;
  readonly ready: boolean;
  readonly reasonCode: string;
  readonly reason: string;
}

export function createSessionStore(
  pool: Pool,
  loseUnknown: (agentIds: readonly string[], now: Date) => Promise<void>,
): SessionStore {
  const query = createQuery(pool);
  return {
    async open(hellos, now) {
      const ids = hellos.map((h) => h.agentId);
      const { rows } = await query<{
        id: string;
        journal_id: string;
        instance_id: string;
        revoked_at: Date | null;
        revoked_reason: string;
      }>({
        name: 'hello-read',
        text: 'select id, journal_id, instance_id, revoked_at, revoked_reason from agents where id = any($1)',
        values: [ids],
      });
      const before = new Map(rows.map((row) => [row.id, row]));
      const replaced = hellos.filter((h) => {
        const known = before.get(h.agentId)?.journal_id ?? '';
        return known !== '' && known !== h.journalId;
      });
      const replacedIds = new Set(replaced.map((h) => h.agentId));
      // Before the new name is stored: a crash between the two must not make the old journal's dispatches look deliverable.
      if (replaced.length > 0) await loseUnknown([...replacedIds], now);

      const updated = await query<{ id: string; name: string; epoch: number; pinned_labels: Record<string, string> }>({
        name: 'hello-write',
        text: `
          update agents a set epoch = a.epoch + 1, online = true, connected_at = $2, last_seen_at = $2, journal_id = h.journal_id,
            instance_id = h.instance_id,
            version = h.version, labels = h.labels::jsonb, facts = h.facts::jsonb, remote_address = h.remote_address,
            certificate_expires_at = to_timestamp(h.expires_ms / 1000.0)
          from unnest($1::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::text[])
            as h(id, journal_id, version, labels, facts, remote_address, expires_ms, instance_id)
          where a.id = h.id and a.revoked_at is null
          returning a.id, a.name, a.epoch, a.pinned_labels`,
        values: [
          ids,
          now,
          hellos.map((h) => h.journalId),
          hellos.map((h) => h.version),
          hellos.map((h) => JSON.stringify(h.labels)),
          hellos.map((h) => JSON.stringify(h.facts)),
          hellos.map((h) => h.remoteAddress),
          hellos.map((h) => h.certificateExpiresAt.getTime()),
          hellos.map((h) => h.instanceId),
        ],
      });
      const held = hellos.flatMap((h) => h.heldDigests.map((digest) => ({ agentId: h.agentId, digest })));
      await query({
        name: 'hello-packs',
        text: `
          with held as (
            select distinct h.agent_id, h.digest from unnest($2::text[], $3::bytea[]) as h(agent_id, digest) join packs using (digest)),
          gone as (
            delete from agent_packs a where a.agent_id = any($1)
              and not exists (select 1 from held where held.agent_id = a.agent_id and held.digest = a.digest))
          insert into agent_packs as a (agent_id, digest, ready) select agent_id, digest, true from held
            where exists (select 1 from agents where id = held.agent_id)
          on conflict (agent_id, digest) do update set ready = true, reason_code = '', reason = '' where not a.ready`,
        values: [ids, held.map((h) => h.agentId), held.map((h) => h.digest)],
      });

      const after = new Map(updated.rows.map((row) => [row.id, row]));
      const said = new Map(hellos.map((h) => [h.agentId, h]));
      return new Map(
        ids.map((id): [string, Opened] => {
          const row = after.get(id);
          if (row !== undefined) {
            return [
              id,
              {
                kind: 'opened',
                agent: {
                  id,
                  name: row.name,
                  labels: effectiveLabels(said.get(id)?.labels ?? {}, row.pinned_labels),
                  facts: said.get(id)?.facts ?? {},
                },
                pinnedLabels: row.pinned_labels,
                epoch: row.epoch,
                journalReplaced: replacedIds.has(id),
                sameProcess: before.get(id)?.instance_id === said.get(id)?.instanceId,
              },
            ];
          }
          const known = before.get(id);
          return [id, known === undefined ? { kind: 'unknown' } : { kind: 'revoked', reason: known.revoked_reason }];
        }),
      );
    },

    async seen(agentIds, now) {
      await query({
        name: 'seen',
        text: 'update agents set last_seen_at = $2 where id = any($1)',
        values: [agentIds, now],
      });
    },

    async ended(sessions, now) {
      await query({
        name: 'session-ended',
        text: `update agents a set online = false, last_seen_at = $3
          from unnest($1::text[], $2::bigint[]) as s(id, epoch) where a.id = s.id and a.epoch = s.epoch`,
        values: [sessions.map((s) => s.agentId), sessions.map((s) => s.epoch), now],
      });
    },

    async allOffline() {
      await query('update agents set online = false where online');
    },

    async packStates(states) {
      await query({
        name: 'pack-states',
        text: `
          insert into agent_packs (agent_id, digest, ready, reason_code, reason)
          select s.* from unnest($1::text[], $2::bytea[], $3::boolean[], $4::text[], $5::text[]) as s(agent_id, digest, ready, reason_code, reason)
          join packs using (digest) join agents on agents.id = s.agent_id
          on conflict (agent_id, digest) do update
            set ready = excluded.ready, reason_code = excluded.reason_code, reason = excluded.reason`,
        values: [
          states.map((s) => s.agentId),
          states.map((s) => s.digest),
          states.map((s) => s.ready),
          states.map((s) => s.reasonCode),
          states.map((s) => s.reason),
        ],
      });
    },
  };
}
