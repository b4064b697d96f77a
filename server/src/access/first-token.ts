import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import type { AuditLog } from '../audit/audit.ts';
import { newId } from '../db/ids.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import { writeFileAtomic } from '../files.ts';
import { STATE_FILES, type StateStore } from '../state/state.ts';
import { hashOf, newSecret } from './secrets.ts';

/** In the data directory. */
const CLIENT_FILE = 'client.json';
const NAME = 'admin';
const SYSTEM = 'system';

/**
 * Makes the first admin token when there is no operator token at all, and keeps it in the state.
 * @param reset revoke the one that was made so, and make it anew: for when it is lost
 * @returns whether a token was made
 * @throws OpenlineError STORE_UNAVAILABLE, STATE_UNAVAILABLE
 */
export async function ensureAdminToken(
  { db, audit, state }: { db: Kysely<Schema>; audit: AuditLog; state: StateStore },
  { reset }: { reset: boolean },
): Promise<boolean> {
  return storeErrors(
    db.transaction().execute(async (tx) => {
      // Two replicas that start on an empty database make one token.
      await sql`lock table tokens in share row exclusive mode`.execute(tx);
      const operators = tx.selectFrom('tokens').where('kind', '=', 'operator');
      if (!reset && (await operators.select('id').limit(1).executeTakeFirst()) !== undefined) return false;

      await tx
        .updateTable('tokens')
        .set({ revoked_at: new Date() })
        .where('kind', '=', 'operator')
        .where('name', '=', NAME)
        .where('created_by', '=', SYSTEM)
        .where('revoked_at', 'is', null)
        .execute();
      const secret = newSecret('operator');
      const id = newId();
      await tx
        .insertInto('tokens')
        .values({
          id,
          kind: 'operator',
          name: NAME,
          role: 'admin',
          secret_hash: hashOf(secret),
          labels: '{}',
          created_by: SYSTEM,
        })
        .execute();
      const details = { kind: 'operator', name: NAME, role: 'admin', reset };
      await audit.record({ principal: SYSTEM, action: 'token.create', object: id, details }, tx);
      // Before the commit: a token that only the database knows would lock everybody out. The other way round is mended by the
      // next start.
      await state.update('adminToken', () => `${secret}\n`);
      return true;
    }),
  );
}

/**
 * Tells the CLI on this machine where the server is and how to be let in: `<dataDir>/client.json`, 0600.
 * Its paths are relative to the file, so that the folder can move.
 * @param server host:port of the operator port, as reached from this machine
 */
export function writeClientFile(dataDir: string, server: string, caFile: string): void {
  const content = { server, caFile, tokenFile: STATE_FILES.adminToken };
  writeFileAtomic(join(dataDir, CLIENT_FILE), `${JSON.stringify(content, null, 2)}\n`);
}
