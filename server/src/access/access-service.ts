import { OpenlineError } from '@openline/proto/errors';
import { MAX_LABEL_CHARS, MAX_LABELS } from '@openline/proto/limits';
import type { Kysely, Selectable } from 'kysely';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import type { Schema, TokensTable } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AccessService, Principal, Role, TokenRecord } from './access.ts';
import { hashOf, looksLike, newSecret, type TokenKind } from './secrets.ts';
import type { Workloads } from './workloads.ts';

export interface AccessServiceDeps {
  readonly db: Kysely<Schema>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** undefined: no service account is an operator. */
  readonly workloads?: Workloads | undefined;
}

/** A revocation on another replica is noticed within this time; one on this replica at once. */
const CACHE_MS = 3_000;
const CACHE_TOKENS = 10_000;
const LAST_USED_EVERY_MS = 60_000;
const JOIN_TTL_MS = 24 * 3_600_000;
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._@/-]{0,99}$/u;

interface Known {
  readonly principal: Principal;
  readonly expiresAt: Date | null;
  readonly readAtMs: number;
}

export function createAccessService({ db, audit, clock, log, workloads }: AccessServiceDeps): AccessService {
  const cache = new Map<string, Known>();
  const lastUsedWrittenMs = new Map<string, number>();

  async function authenticate(secret: string): Promise<Principal> {
    const stored = looksLike('operator', secret);
    if (!stored && workloads?.claims(secret) !== true) throw refused('this is no operator token');
    const hash = hashOf(secret);
    const key = hash.toString('base64');
    let known = cache.get(key);
    if (known === undefined || clock.nowMs() - known.readAtMs > CACHE_MS) {
      cache.delete(key);
      known = stored ? await read(hash) : await review(secret);
      // Only tokens that exist are kept, so guesses cannot fill it; the bound is for an installation with very many.
      if (cache.size >= CACHE_TOKENS) cache.clear();
      cache.set(key, known);
    }
    if (known.expiresAt !== null && known.expiresAt <= clock.now()) throw refused('the token has expired');
    if (stored) noteUse(known.principal.id);
    return known.principal;
  }

  async function read(hash: Buffer): Promise<Known> {
    const readAtMs = clock.nowMs();
    const query = db.selectFrom('tokens').selectAll().where('secret_hash', '=', hash).where('kind', '=', 'operator');
    const row = await storeErrors(query.executeTakeFirst());
    if (row === undefined) throw refused('the token is not known here');
    if (row.revoked_at !== null) throw refused('the token was revoked');
    if (row.role === '') throw refused('the token has no role');
    return { principal: { id: row.id, name: row.name, role: row.role }, expiresAt: row.expires_at, readAtMs };
  }

  async function review(token: string): Promise<Known> {
    if (workloads === undefined) throw refused('no service account is an operator here');
    const readAtMs = clock.nowMs();
    // Its end is the cluster's business: it is reviewed again when this is no longer fresh.
    return { principal: await workloads.review(token), expiresAt: null, readAtMs };
  }

  /** Roughly when it was last used is worth knowing, and no request waits for it. */
  function noteUse(id: string): void {
    const last = lastUsedWrittenMs.get(id);
    if (last !== undefined && clock.nowMs() - last < LAST_USED_EVERY_MS) return;
    lastUsedWrittenMs.set(id, clock.nowMs());
    const update = db.updateTable('tokens').set({ last_used_at: clock.now() }).where('id', '=', id);
    update.execute().catch((error: unknown) => log.warn({ err: error }, 'the last use of a token was not recorded'));
  }

  async function create(
    by: Principal,
    kind: TokenKind,
    name: string,
    { role, labels, ttlMs }: { role: Role | undefined; labels: Record<string, string>; ttlMs: number | undefined },
  ): Promise<{ token: TokenRecord; secret: string }> {
    if (!NAME.test(name)) throw invalid('a token needs a name: up to 100 letters, digits, spaces and ._@/-');
    if (ttlMs !== undefined && !(ttlMs > 0)) throw invalid('the life of a token must be longer than nothing');
    checkLabels(labels);
    const secret = newSecret(kind);
    const createdAt = clock.now();
    const values = {
      id: newId(),
      kind,
      name,
      role: role ?? ('' as const),
      secret_hash: hashOf(secret),
      labels: JSON.stringify(labels),
      created_by: by.name,
      created_at: createdAt,
      expires_at: ttlMs === undefined ? null : new Date(createdAt.getTime() + ttlMs),
    };
    const row = await storeErrors(
      db.transaction().execute(async (tx) => {
        const details = { kind, name, ...(role && { role }), labels, expiresAt: values.expires_at };
        await audit.record({ principal: by.name, action: 'token.create', object: values.id, details }, tx);
        return tx.insertInto('tokens').values(values).returningAll().executeTakeFirstOrThrow();
      }),
    );
    return { token: toRecord(row), secret };
  }

  return {
    authenticate,

    createOperatorToken: (by, name, role, ttlMs) => create(by, 'operator', name, { role, labels: {}, ttlMs }),

    createJoinToken: (by, name, labels, ttlMs) =>
      create(by, 'join', name, { role: undefined, labels, ttlMs: ttlMs ?? JOIN_TTL_MS }),

    async listTokens() {
      const rows = await storeErrors(db.selectFrom('tokens').selectAll().orderBy('id').execute());
      return rows.map(toRecord);
    },

    async revokeToken(by, id) {
      const row = await storeErrors(
        db.transaction().execute(async (tx) => {
          const found = await tx.selectFrom('tokens').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
          if (found === undefined) throw new OpenlineError('TOKEN_UNKNOWN', `there is no token ${id}`);
          if (found.revoked_at !== null) return found;
          const details = { kind: found.kind, name: found.name };
          await audit.record({ principal: by.name, action: 'token.revoke', object: id, details }, tx);
          const update = tx.updateTable('tokens').set({ revoked_at: clock.now() }).where('id', '=', id);
          return update.returningAll().executeTakeFirstOrThrow();
        }),
      );
      cache.clear();
      return toRecord(row);
    },
  };
}

function checkLabels(labels: Record<string, string>): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) throw invalid(`more than ${MAX_LABELS} labels`);
  for (const [key, value] of entries) {
    if (key === '' || key.length > MAX_LABEL_CHARS || value.length > MAX_LABEL_CHARS) {
      throw invalid(`a label has a key and a value of at most ${MAX_LABEL_CHARS} characters`);
    }
  }
}

function toRecord(row: Selectable<TokensTable>): TokenRecord {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    labels: row.labels,
    createdBy: row.created_by,
    createdAt: row.created_at,
    ...(row.role !== '' && { role: row.role }),
    ...(row.expires_at && { expiresAt: row.expires_at }),
    ...(row.revoked_at && { revokedAt: row.revoked_at }),
    ...(row.last_used_at && { lastUsedAt: row.last_used_at }),
    ...(row.used_by_agent !== null && { usedByAgent: row.used_by_agent }),
  };
}

const refused = (message: string) => new OpenlineError('UNAUTHENTICATED', message);
const invalid = (message: string) => new OpenlineError('REQUEST_INVALID', message);
