import type { Kysely } from 'kysely';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import type { AuditLog } from './audit.ts';

const MAX_LIST = 1_000;

/** @throws OpenlineError STORE_UNAVAILABLE from both: a change that cannot be recorded is not made. */
export function createAuditLog({ db }: { db: Kysely<Schema> }): AuditLog {
  return {
    async record({ principal, action, object, details }, on = db) {
      const row = { principal, action, object, details: JSON.stringify(details) };
      await storeErrors(on.insertInto('audit').values(row).execute());
    },

    async list(limit, beforeSeq) {
      let query = db.selectFrom('audit').selectAll().orderBy('seq', 'desc').limit(Math.min(limit, MAX_LIST));
      if (beforeSeq !== undefined) query = query.where('seq', '<', beforeSeq);
      return storeErrors(query.execute());
    },
  };
}
