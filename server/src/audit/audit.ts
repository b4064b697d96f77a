import type { Kysely, Transaction } from 'kysely';
import type { Schema } from '../db/schema.ts';

/** One thing that somebody changed, or tried to. `details` never carries a secret. */
export interface AuditEntry {
  readonly principal: string;
  /** "run.submit", "run.cancel", "token.create", "agent.revoke", "pack.push", … */
  readonly action: string;
  readonly object: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface StoredAuditEntry extends AuditEntry {
  readonly seq: number;
  readonly at: Date;
}

export interface AuditLog {
  /** Within the transaction of the change itself, when there is one. */
  record(entry: AuditEntry, on?: Kysely<Schema> | Transaction<Schema>): Promise<void>;
  /** Newest first. */
  list(limit: number, beforeSeq: number | undefined): Promise<StoredAuditEntry[]>;
}
