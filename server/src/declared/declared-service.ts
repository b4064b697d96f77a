import { didYouMean } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import type { Pool } from 'pg';
import { allows, type Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { createQuery } from '../db/query.ts';
import { inTransaction, type Tx } from '../db/transaction.ts';
import type { Logger } from '../telemetry/logger.ts';
import { REFRESH_MS } from './declared.ts';
import { type DeclaredRow, deleteRow, lockDeclared, readRevision, readRows, writeRow } from './declared-store.ts';
import { type DeclaredDocument, readFiles, type SourceFile } from './read.ts';
import type { DeclaredRegistry, KindEntry, ObjectChange, ParsedObject } from './registry.ts';

export type ApplyOutcome = 'created' | 'changed' | 'unchanged';

export interface AppliedObject {
  readonly kind: string;
  readonly name: string;
  readonly outcome: ApplyOutcome;
}

export interface DeclaredService {
  /**
   * Stores every document of the files, or none.
   * @param dryRun only says what would change
   * @throws OpenlineError DECLARED_INVALID one line "file:line:column: …" for each problem; PERMISSION_DENIED; STORE_UNAVAILABLE
   */
  apply(by: Principal, files: readonly SourceFile[], options: { dryRun: boolean }): Promise<readonly AppliedObject[]>;
  /** By name. @throws OpenlineError DECLARED_UNKNOWN there is no such kind */
  list(kind: string): Promise<readonly DeclaredRow[]>;
  /** @throws OpenlineError DECLARED_UNKNOWN */
  get(kind: string, name: string): Promise<DeclaredRow>;
  /** @throws OpenlineError DECLARED_UNKNOWN, DECLARED_IN_USE another object needs it, PERMISSION_DENIED */
  remove(by: Principal, kind: string, name: string): Promise<DeclaredRow>;
  kinds(): readonly Pick<KindEntry, 'kind' | 'plural'>[];
  /** Looks whether another replica changed something. */
  refresh(): Promise<void>;
  stop(): void;
}

export interface DeclaredDeps {
  readonly pool: Pool;
  readonly registry: DeclaredRegistry;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn' | 'error'>;
}

const MAX_OBJECTS = 5_000;
const SHOWN_PROBLEMS = 20;

/** Thrown to take back what a dry run did. */
class DryRun extends Error {
  readonly applied: readonly AppliedObject[];
  constructor(applied: readonly AppliedObject[]) {
    super('a dry run');
    this.applied = applied;
  }
}

/** What is stored is loaded before this resolves; every kind must be registered by then. */
export async function createDeclaredService(deps: DeclaredDeps): Promise<DeclaredService> {
  const { pool, registry, audit, clock, log } = deps;
  const query = createQuery(pool);
  /** As loaded last, by kind, name and text: what did not change keeps its spec, and is not read again. */
  let parsedBefore = new Map<string, ParsedObject>();
  let revision = -1;
  let loading: Promise<void> = Promise.resolve();

  const keyOf = ({ kind, name, source }: DeclaredRow) => JSON.stringify([kind, name, source]);

  function parse(row: DeclaredRow): ParsedObject | undefined {
    const known = parsedBefore.get(keyOf(row));
    if (known !== undefined) return known;
    const { documents, problems } = readFiles(registry, [{ name: row.name, content: Buffer.from(row.source) }]);
    const [document] = documents;
    if (document !== undefined && problems().length === 0) return document.parsed;
    // An older build accepted it; or a newer one did, and this one is older.
    log.error(
      { kind: row.kind, name: row.name, problems: problems() },
      'a declared object cannot be read, and is not at work',
    );
    return undefined;
  }

  async function load(): Promise<void> {
    const stored = await readRows(query);
    if (stored.revision === revision) return;
    const parsed = new Map<string, ParsedObject>();
    const objects = stored.rows.flatMap((row) => {
      const object = parse(row);
      if (object === undefined) return [];
      parsed.set(keyOf(row), object);
      return [{ ...row, parsed: object }];
    });
    parsedBefore = parsed;
    revision = stored.revision;
    for (const entry of registry.all()) entry.load(objects.filter(({ kind }) => kind === entry.kind));
    for (const entry of registry.all()) entry.changed();
  }

  /** One at a time, in the order asked. */
  function reload(): Promise<void> {
    loading = loading.catch(() => {}).then(load);
    return loading;
  }

  function entryFor(word: string): KindEntry {
    const entry = registry.find(word);
    if (entry !== undefined) return entry;
    const plurals = registry.all().map(({ plural }) => plural);
    throw new OpenlineError('DECLARED_UNKNOWN', `there is no kind «${word}»; there are ${plurals.join(', ')}`);
  }

  function requireRole(by: Principal, { kind, role }: KindEntry): void {
    if (allows(by.role, role)) return;
    throw new OpenlineError(
      'PERMISSION_DENIED',
      `objects of kind ${kind} need the role ${role}; the token «${by.name}» has the role ${by.role}`,
    );
  }

  /** Calls each kind's own hook with what changes of it. */
  async function tellKinds(changes: readonly { entry: KindEntry; change: ObjectChange }[], tx: Tx): Promise<void> {
    for (const entry of registry.all()) {
      const mine = changes.filter((each) => each.entry === entry).map(({ change }) => change);
      if (mine.length > 0) await entry.saving(mine, tx);
    }
  }

  async function write(by: Principal, documents: readonly DeclaredDocument[], problems: () => string[], tx: Tx) {
    await lockDeclared(tx);
    const rows = new Map((await readRows(tx.query)).rows.map((row) => [`${row.kind}/${row.name}`, row]));
    const after = new Map([...rows].map(([key, row]) => [key, parse(row)]));
    for (const { entry, name, parsed } of documents) after.set(`${entry.kind}/${name}`, parsed);
    if (after.size > MAX_OBJECTS) {
      throw new OpenlineError(
        'DECLARED_INVALID',
        `there would be ${after.size} objects; at most ${MAX_OBJECTS} may be`,
      );
    }
    checkReferences(documents, after);
    refuse(problems());
    const applied: AppliedObject[] = [];
    const changes: { entry: KindEntry; change: ObjectChange }[] = [];
    for (const { entry, name, parsed, spec, text, report } of documents) {
      const before = rows.get(`${entry.kind}/${name}`);
      const outcome = before === undefined ? 'created' : before.source === text ? 'unchanged' : 'changed';
      applied.push({ kind: entry.kind, name, outcome });
      if (outcome === 'unchanged') continue;
      await writeRow(tx, { kind: entry.kind, name, spec, source: text, updatedBy: by.name, updatedAt: clock.now() });
      const object = `${entry.kind}/${name}`;
      await audit.record({ principal: by.name, action: 'declared.apply', object, details: { outcome } }, tx.db);
      changes.push({ entry, change: { name, before: before && parse(before), after: parsed, report } });
    }
    await tellKinds(changes, tx);
    refuse(problems());
    return applied;
  }

  const self: DeclaredService = {
    async apply(by, files, { dryRun }) {
      const { documents, problems } = readFiles(registry, files);
      refuse(problems());
      if (documents.length === 0) throw new OpenlineError('DECLARED_INVALID', 'the files declare no object');
      for (const { entry } of documents) requireRole(by, entry);
      try {
        const applied = await inTransaction(pool, async (tx) => {
          const done = await write(by, documents, problems, tx);
          if (dryRun) throw new DryRun(done);
          return done;
        });
        await reload();
        return applied;
      } catch (error) {
        if (error instanceof DryRun) return error.applied;
        throw error;
      }
    },

    async list(word) {
      const { kind } = entryFor(word);
      return (await readRows(query, kind)).rows;
    },

    async get(word, name) {
      const { kind } = entryFor(word);
      const { rows } = await readRows(query, kind);
      const row = rows.find((each) => each.name === name);
      if (row === undefined) throw unknownObject(kind, name, rows);
      return row;
    },

    async remove(by, word, name) {
      const entry = entryFor(word);
      requireRole(by, entry);
      const removed = await inTransaction(pool, async (tx) => {
        await lockDeclared(tx);
        const { rows } = await readRows(tx.query);
        const row = rows.find((each) => each.kind === entry.kind && each.name === name);
        if (row === undefined) throw unknownObject(entry.kind, name, rows);
        const users = rows.filter((each) =>
          parse(each)?.references.some((reference) => reference.kind === entry.kind && reference.name === name),
        );
        if (users.length > 0) {
          const names = users.slice(0, 10).map((user) => `${user.kind}/${user.name}`);
          throw new OpenlineError('DECLARED_IN_USE', `${entry.kind}/${name} is needed by ${names.join(', ')}`);
        }
        await deleteRow(tx, entry.kind, name);
        const object = `${entry.kind}/${name}`;
        await audit.record({ principal: by.name, action: 'declared.delete', object, details: {} }, tx.db);
        await tellKinds([{ entry, change: { name, before: parse(row), after: undefined } }], tx);
        return row;
      });
      await reload();
      return removed;
    },

    kinds: () => registry.all(),

    async refresh() {
      if ((await readRevision(query)) !== revision) await reload();
    },

    stop: () => clearInterval(timer),
  };

  await reload();
  // When the database does not answer, what was loaded last goes on holding.
  const timer = setInterval(() => void self.refresh().catch(() => {}), REFRESH_MS);
  return self;
}

/** Of what is given, and of what is there already and refers to it. @param after by "kind/name"; undefined: it cannot be read */
function checkReferences(
  documents: readonly DeclaredDocument[],
  after: ReadonlyMap<string, ParsedObject | undefined>,
): void {
  const given = new Map(documents.map((document) => [`${document.entry.kind}/${document.name}`, document]));
  for (const [key, object] of after) {
    for (const { kind, name, at, unless } of object?.references ?? []) {
      const target = `${kind}/${name}`;
      const refused = unless !== undefined && after.get(target)?.traits.has(unless.trait) ? unless.message : undefined;
      const document = given.get(key);
      if (document === undefined) {
        const changed = given.get(target);
        if (refused !== undefined) changed?.report.add(changed.at, `${key} refers to it, and ${refused}`);
      } else if (!after.has(target)) {
        document.report.add(at, `there is no ${kind} '${name}', here or on the server`);
      } else if (refused !== undefined) document.report.add(at, refused);
    }
  }
}

function unknownObject(kind: string, name: string, rows: readonly DeclaredRow[]): OpenlineError {
  const known = rows.filter((row) => row.kind === kind).map((row) => row.name);
  return new OpenlineError('DECLARED_UNKNOWN', `there is no ${kind} «${name}»${didYouMean(name, known)}`);
}

function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const lines = problems.slice(0, SHOWN_PROBLEMS);
  if (problems.length > lines.length) lines.push(`… and ${problems.length - lines.length} more`);
  throw new OpenlineError('DECLARED_INVALID', lines.join('\n'));
}
