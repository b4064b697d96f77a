import type { Query } from '../db/query.ts';
import type { Tx } from '../db/transaction.ts';

/** The tables `declared` and `declared_revision`; ids of objects are kind and name. */

export interface DeclaredRow {
  readonly kind: string;
  readonly name: string;
  readonly spec: unknown;
  /** The document, with its comments. */
  readonly source: string;
  readonly updatedBy: string;
  readonly updatedAt: Date;
}

interface StoredRow {
  kind: string;
  name: string;
  spec: unknown;
  source: string;
  updated_by: string;
  updated_at: Date;
  revision: number;
}

/** Everything, or one kind, by kind and name, and which revision of the whole it is. @throws OpenlineError STORE_UNAVAILABLE */
export async function readRows(query: Query, kind?: string): Promise<{ revision: number; rows: DeclaredRow[] }> {
  const { rows } = await query<StoredRow | (Omit<StoredRow, 'kind'> & { kind: null })>(
    `select revision, d.* from declared_revision left join declared d on $1::text is null or d.kind = $1 order by d.kind, d.name`,
    [kind ?? null],
  );
  return {
    revision: rows[0]?.revision ?? 0,
    rows: rows.flatMap((row) =>
      row.kind === null
        ? []
        : [
            {
              kind: row.kind,
              name: row.name,
              spec: row.spec,
              source: row.source,
              updatedBy: row.updated_by,
              updatedAt: row.updated_at,
            },
          ],
    ),
  };
}

export async function readRevision(query: Query): Promise<number> {
  const { rows } = await query<{ revision: number }>('select revision from declared_revision');
  return rows[0]?.revision ?? 0;
}

/** One transaction at a time changes declared objects, on any replica. */
export async function lockDeclared(tx: Tx): Promise<void> {
  await tx.query('update declared_revision set revision = revision + 1');
}

export async function writeRow(tx: Tx, row: DeclaredRow): Promise<void> {
  await tx.query(
    `insert into declared (kind, name, spec, source, updated_by, updated_at) values ($1, $2, $3, $4, $5, $6)
     on conflict (kind, name) do update set spec = excluded.spec, source = excluded.source,
       updated_by = excluded.updated_by, updated_at = excluded.updated_at`,
    [row.kind, row.name, JSON.stringify(row.spec), row.source, row.updatedBy, row.updatedAt],
  );
}

export async function deleteRow(tx: Tx, kind: string, name: string): Promise<void> {
  await tx.query('delete from declared where kind = $1 and name = $2', [kind, name]);
}
