import { type Kysely, sql } from 'kysely';
import type { Schema } from '../../db/schema.ts';
import { storeErrors } from '../../db/store-errors.ts';

export interface AgentBehind {
  readonly agentId: string;
  readonly name: string;
  readonly online: boolean;
  readonly certificateExpiresAt: Date;
}

/** Which agents have said that they trust an authority and have a certificate of it. */
export interface HeldStore {
  held(agentIds: readonly string[], hash: string): Promise<void>;
  /** Agents that can still come back, as their certificate is valid, and have not said so of this authority. */
  countBehind(hash: string, now: Date): Promise<number>;
  /** By name. */
  behind(hash: string, now: Date, limit: number): Promise<AgentBehind[]>;
}

export function createHeldStore(db: Kysely<Schema>): HeldStore {
  const living = (hash: string, now: Date) =>
    db
      .selectFrom('agents')
      .where('revoked_at', 'is', null)
      .where('certificate_expires_at', '>', now)
      .where('authority', '<>', hash);
  return {
    async held(agentIds, hash) {
      await storeErrors(
        db
          .updateTable('agents')
          .set({ authority: hash })
          .where('id', '=', sql<string>`any(${[...agentIds]}::text[])`)
          .where('authority', '<>', hash)
          .execute(),
      );
    },
    async countBehind(hash, now) {
      const { count } = await storeErrors(
        living(hash, now)
          .select((row) => row.fn.countAll<string>().as('count'))
          .executeTakeFirstOrThrow(),
      );
      return Number(count);
    },
    async behind(hash, now, limit) {
      const rows = await storeErrors(
        living(hash, now)
          .select(['id', 'name', 'online', 'certificate_expires_at'])
          .orderBy('name')
          .limit(limit)
          .execute(),
      );
      return rows.map(({ id, name, online, certificate_expires_at }) => ({
        agentId: id,
        name,
        online,
        certificateExpiresAt: certificate_expires_at ?? now,
      }));
    },
  };
}
