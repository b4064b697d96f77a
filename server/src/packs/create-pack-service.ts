import { didYouMean, digestOf, type PublicKey, parsePack, verifyPack } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import { MAX_PACK_BYTES } from '@openline/proto/limits';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createCatalog } from './catalog.ts';
import type { PackService, StoredPack } from './pack-service.ts';
import { judgePush } from './push-verdict.ts';

export interface PackServiceDeps {
  readonly db: Kysely<Schema>;
  readonly audit: AuditLog;
  /** Whose signatures a push may carry; asked at each push. */
  trustedKeys(): readonly PublicKey[];
  readonly log: Pick<Logger, 'error'>;
}

const SHOWN_RUNS = 3;

/** Loads every stored pack, then answers from memory. @throws OpenlineError STORE_UNAVAILABLE */
export async function createPackService({ db, audit, trustedKeys, log }: PackServiceDeps): Promise<PackService> {
  let catalog = createCatalog([]);
  let refreshed: Promise<unknown> = Promise.resolve();
  const listeners: (() => void)[] = [];

  /** One at a time, so that an older reading never replaces a newer one. */
  function refresh(): Promise<void> {
    const next = refreshed.then(async () => {
      const before = catalog;
      catalog = createCatalog(await readPacks(db, before.all, log));
      if (digestsOf(before.wanted) !== digestsOf(catalog.wanted)) for (const listener of listeners) listener();
    });
    refreshed = next.catch(() => undefined);
    return next;
  }

  /** What can be said of a push before the store is asked. The signature comes first: the parser sees only bytes that a trusted key signed. */
  function check(content: Buffer, signature: string, fileName: string) {
    if (content.length > MAX_PACK_BYTES) {
      throw new OpenlineError(
        'PACK_INVALID',
        `${fileName}: ${content.length} bytes; a pack has at most ${MAX_PACK_BYTES}`,
      );
    }
    const { keyId } = verifyPack(content, signature, trustedKeys());
    return { pack: parsePack(content, fileName), keyId, digest: digestOf(content) };
  }

  async function push(by: Principal, content: Buffer, signature: string, fileName: string) {
    const { pack, keyId, digest } = check(content, signature, fileName);
    const { name, version } = pack;
    const verdict = await storeErrors(
      db.transaction().execute(async (trx) => {
        await lockPack(trx, name);
        const known = await trx
          .selectFrom('packs')
          .select(['version', 'digest', 'wanted'])
          .where('name', '=', name)
          .execute();
        const verdict = judgePush(name, { version, digest }, known);
        if (verdict === 'unchanged') return verdict;
        await trx
          .updateTable('packs')
          .set({ wanted: false })
          .where('name', '=', name)
          .where('wanted', '=', true)
          .execute();
        await trx
          .insertInto('packs')
          .values({ digest, name, version, content, signature, key_id: keyId, pushed_by: by.name, wanted: true })
          .execute();
        const details = { version, digest: digest.toString('hex'), keyId };
        await audit.record({ principal: by.name, action: 'pack.push', object: name, details }, trx);
        return verdict;
      }),
    );
    await storeErrors(refresh());
    const stored = catalog.byDigest(digest);
    if (stored === undefined) {
      throw new OpenlineError('PACK_UNKNOWN', `pack «${name}» was removed by another request while it was pushed`);
    }
    return { stored, unchanged: verdict === 'unchanged' };
  }

  async function recordRefusal(
    by: Principal,
    content: Buffer,
    fileName: string,
    refusal: OpenlineError,
  ): Promise<void> {
    const details = { code: refusal.code, reason: refusal.message, digest: digestOf(content).toString('hex') };
    try {
      await audit.record({ principal: by.name, action: 'pack.push.refused', object: fileName, details });
    } catch (err) {
      log.error({ err, code: refusal.code }, 'a refused push could not be written to the audit log');
    }
  }

  await storeErrors(refresh());
  return {
    async push(by, content, signature, fileName) {
      try {
        return await push(by, content, signature, fileName);
      } catch (error) {
        if (error instanceof OpenlineError && error.code !== 'STORE_UNAVAILABLE') {
          await recordRefusal(by, content, fileName, error);
        }
        throw error;
      }
    },

    async remove(by, name) {
      await storeErrors(
        db.transaction().execute(async (trx) => {
          await lockPack(trx, name);
          const removed = await trx.deleteFrom('packs').where('name', '=', name).returning('version').execute();
          if (removed.length === 0) {
            const hint = didYouMean(
              name,
              catalog.wanted.map((stored) => stored.pack.name),
            );
            throw new OpenlineError('PACK_UNKNOWN', `there is no pack «${name}»${hint}`);
          }
          await refuseWhileInUse(trx, name);
          const details = { versions: removed.map(({ version }) => version) };
          await audit.record({ principal: by.name, action: 'pack.remove', object: name, details }, trx);
        }),
      );
      await storeErrors(refresh());
    },

    list: () => catalog.all,
    get: (ref) => catalog.get(ref),
    byDigest: (digest) => catalog.byDigest(digest),
    resolve: (taskRef) => catalog.resolve(taskRef),
    wanted: () => catalog.wanted,
    onWantedChanged: (listener) => {
      listeners.push(listener);
    },
  };
}

/** Held until the end of the transaction: what is decided about a pack's versions is decided by one request at a time, on any replica. */
async function lockPack(trx: Transaction<Schema>, name: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`openline pack ${name}`}, 0))`.execute(trx);
}

async function refuseWhileInUse(trx: Transaction<Schema>, name: string): Promise<void> {
  const open = await trx
    .selectFrom('runs')
    .select('id')
    .where('pack_name', '=', name)
    .where('ended_at', 'is', null)
    .limit(SHOWN_RUNS + 1)
    .execute();
  if (open.length === 0) return;
  const shown = open.slice(0, SHOWN_RUNS).map(({ id }) => id);
  throw new OpenlineError(
    'PACK_IN_USE',
    `pack «${name}» is needed by open runs: ${shown.join(', ')}${open.length > SHOWN_RUNS ? ', …' : ''}`,
  );
}

/** Reads and parses only what is not known yet: bytes of a digest never change. */
async function readPacks(
  db: Kysely<Schema>,
  known: readonly StoredPack[],
  log: Pick<Logger, 'error'>,
): Promise<StoredPack[]> {
  const byDigest = new Map(known.map((stored) => [stored.digest.toString('hex'), stored]));
  const present = await db.selectFrom('packs').select(['digest', 'wanted']).execute();
  const packs: StoredPack[] = [];
  for (const { digest, wanted } of present) {
    const stored = byDigest.get(digest.toString('hex')) ?? (await readPack(db, digest, log));
    if (stored !== undefined) packs.push({ ...stored, wanted });
  }
  return packs;
}

async function readPack(
  db: Kysely<Schema>,
  digest: Buffer,
  log: Pick<Logger, 'error'>,
): Promise<StoredPack | undefined> {
  const row = await db.selectFrom('packs').selectAll().where('digest', '=', digest).executeTakeFirst();
  if (row === undefined) return undefined;
  try {
    return {
      pack: parsePack(row.content, row.name),
      digest,
      content: row.content,
      signature: row.signature,
      keyId: row.key_id,
      pushedBy: row.pushed_by,
      pushedAt: row.pushed_at,
      wanted: row.wanted,
    };
  } catch (err) {
    // An older release accepted it. One pack that cannot be used must not keep the server from starting.
    log.error({ err, pack: row.name, version: row.version }, 'a stored pack cannot be read any more and is left out');
    return undefined;
  }
}

function digestsOf(packs: readonly StoredPack[]): string {
  return packs.map((stored) => stored.digest.toString('hex')).join();
}
