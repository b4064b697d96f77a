import { integerOf, textOf } from '@openline/packs/read';
import { describe, expect, it } from 'vitest';
import type { Principal } from '../access/access.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import { systemClock } from '../clock.ts';
import { silentLog, withTestDatabase } from '../db/testing.ts';
import type { DeclaredChange, DeclaredKind } from './declared.ts';
import { createDeclaredService } from './declared-service.ts';
import { createDeclaredRegistry } from './registry.ts';

const db = withTestDatabase();
const ADMIN: Principal = { id: 'a', name: 'alice', role: 'admin' };
const OPERATOR: Principal = { id: 'o', name: 'bob', role: 'operator' };

interface Cup {
  readonly size: number;
  readonly on: string | undefined;
}

/** A kind to declare: a cup may stand on a table, and a table is made by admins only. */
const cups: DeclaredKind<Cup> = {
  kind: 'Cup',
  plural: 'cups',
  role: 'operator',
  parse(node, { report, refer }) {
    if (node.kind !== 'map') return void report.add(node.at, 'a cup is a mapping');
    const on = node.entries.get('on')?.value;
    const name = textOf(report, on, "'on'", 100);
    const unless = { trait: 'broken', message: 'that table is broken' };
    if (on !== undefined && name !== undefined) refer('Table', name, on.at, unless);
    const size = integerOf(report, node.entries.get('size')?.value, "'size'", 1, 9);
    return { size: size ?? 1, on: name };
  },
};
const tables: DeclaredKind<null> = {
  kind: 'Table',
  plural: 'tables',
  role: 'admin',
  parse(node, { trait }) {
    if (node.kind === 'map' && node.entries.has('broken')) trait('broken');
    return null;
  },
};

const doc = (kind: string, name: string, spec: string) =>
  `apiVersion: openline.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
const file = (name: string, ...docs: string[]) => ({ name, content: Buffer.from(docs.join('---\n')) });

async function setUp(kind: DeclaredKind<Cup> = cups) {
  const registry = createDeclaredRegistry();
  const held = registry.register(kind);
  registry.register(tables);
  const audit = createAuditLog({ db: db.kysely });
  const service = await createDeclaredService({ pool: db.pool, registry, audit, clock: systemClock, log: silentLog });
  service.stop();
  const apply = (...docs: string[]) => service.apply(ADMIN, [file('a.yaml', ...docs)], { dryRun: false });
  return { service, held, audit, apply };
}

describe('openline apply', () => {
  it('says what it created, changed and left alone, and puts it to work', async () => {
    const { service, held, apply } = await setUp();
    let told = 0;
    held.onChange(() => told++);
    expect(await apply(doc('Cup', 'red', '{size: 1}'), doc('Cup', 'blue', '{size: 2}'))).toEqual([
      { kind: 'Cup', name: 'red', outcome: 'created' },
      { kind: 'Cup', name: 'blue', outcome: 'created' },
    ]);
    const blue = held.get('blue')?.spec;
    expect(await apply(doc('Cup', 'red', '{size: 3}'), doc('Cup', 'blue', '{size: 2}'))).toEqual([
      { kind: 'Cup', name: 'red', outcome: 'changed' },
      { kind: 'Cup', name: 'blue', outcome: 'unchanged' },
    ]);
    expect(held.list().map(({ name, spec, updatedBy }) => [name, spec.size, updatedBy])).toEqual([
      ['blue', 2, 'alice'],
      ['red', 3, 'alice'],
    ]);
    expect(held.get('blue')?.spec).toBe(blue);
    expect(told).toBe(2);
    expect(await service.get('Cups', 'red')).toMatchObject({
      spec: { size: 3 },
      source: doc('Cup', 'red', '{size: 3}'),
    });
  });

  it('stores nothing when anything is wrong, and names every place', async () => {
    const { service, held } = await setUp();
    const files = [
      file('one.yaml', doc('Cup', 'red', '{size: 1}'), doc('Cup', 'big', '{size: 10}')),
      file('two.yaml', doc('Cub', 'x', '{}'), doc('Cup', 'No', '{}'), doc('Cup', 'red', '{}'), 'just text\n'),
    ];
    await expect(service.apply(ADMIN, files, { dryRun: false })).rejects.toMatchObject({
      code: 'DECLARED_INVALID',
      message: [
        "one.yaml:9:14: 'size' must be a whole number from 1 to 9",
        "two.yaml:2:7: there is no kind 'Cub'; did you mean 'Cup'?",
        "two.yaml:8:18: 'No' is no name: a to z, 0 to 9 and -, beginning and ending with a letter or a digit",
        'two.yaml:13:18: Cup/red is there twice; it is also in one.yaml',
        'two.yaml:16:1: an object is a mapping with apiVersion, kind, metadata and spec',
      ].join('\n'),
    });
    expect(held.list()).toEqual([]);
    expect(await service.list('cups')).toEqual([]);
  });

  it('changes nothing in a dry run, which says the same', async () => {
    const { service, held, audit, apply } = await setUp();
    await apply(doc('Cup', 'red', '{size: 1}'));
    const files = [file('a.yaml', doc('Cup', 'red', '{size: 2}'), doc('Cup', 'new', '{}'))];
    expect((await service.apply(ADMIN, files, { dryRun: true })).map(({ outcome }) => outcome)).toEqual([
      'changed',
      'created',
    ]);
    expect(held.list().map(({ name, spec }) => [name, spec.size])).toEqual([['red', 1]]);
    expect(await audit.list(10, undefined)).toHaveLength(1);
  });

  it('records who declared what, and nothing for what is as it was', async () => {
    const { audit, apply, service } = await setUp();
    await apply(doc('Cup', 'red', '{size: 1}'));
    await apply(doc('Cup', 'red', '{size: 1}'));
    await service.remove(OPERATOR, 'cup', 'red');
    expect(
      (await audit.list(10, undefined)).map(({ principal, action, object }) => [principal, action, object]),
    ).toEqual([
      ['bob', 'declared.delete', 'Cup/red'],
      ['alice', 'declared.apply', 'Cup/red'],
    ]);
  });

  it('needs the role of each kind that it touches', async () => {
    const { service } = await setUp();
    const files = [file('a.yaml', doc('Cup', 'red', '{}'), doc('Table', 'round', '{}'))];
    await expect(service.apply(OPERATOR, files, { dryRun: true })).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await service.apply(OPERATOR, files.slice(0, 0).concat(file('a.yaml', doc('Cup', 'red', '{}'))), { dryRun: false });
    await service.apply(ADMIN, [file('t', doc('Table', 'round', '{}'))], { dryRun: false });
    await expect(service.remove(OPERATOR, 'tables', 'round')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('an object that needs another', () => {
  it('may come before or with it, and not without it', async () => {
    const { apply, held } = await setUp();
    await expect(apply(doc('Cup', 'red', '{on: round}'))).rejects.toMatchObject({
      message: "a.yaml:4:12: there is no Table 'round', here or on the server",
    });
    await apply(doc('Cup', 'red', '{on: round}'), doc('Table', 'round', '{}'));
    await apply(doc('Cup', 'blue', '{on: round}'));
    expect(held.list()).toHaveLength(2);
  });

  it('is refused when the other is not fit for it, whichever of the two comes later', async () => {
    const { apply } = await setUp();
    const broken = doc('Table', 'round', '{broken: true}');
    await expect(apply(broken, doc('Cup', 'red', '{on: round}'))).rejects.toMatchObject({
      message: 'a.yaml:9:12: that table is broken',
    });
    await apply(doc('Table', 'round', '{}'), doc('Cup', 'red', '{on: round}'));
    await expect(apply(broken)).rejects.toMatchObject({
      message: 'a.yaml:3:18: Cup/red refers to it, and that table is broken',
    });
  });

  it('keeps the other from being deleted', async () => {
    const { apply, service } = await setUp();
    await apply(doc('Cup', 'red', '{on: round}'), doc('Table', 'round', '{}'));
    await expect(service.remove(ADMIN, 'table', 'round')).rejects.toMatchObject({
      code: 'DECLARED_IN_USE',
      message: 'Table/round is needed by Cup/red',
    });
    const unknown = "there is no Table «ruond»; did you mean 'round'?";
    await expect(service.remove(ADMIN, 'tables', 'ruond')).rejects.toThrow(unknown);
    await expect(service.get('tables', 'ruond')).rejects.toThrow(unknown);
    await service.remove(ADMIN, 'cups', 'red');
    await service.remove(ADMIN, 'tables', 'round');
    await expect(service.remove(ADMIN, 'tables', 'round')).rejects.toMatchObject({ code: 'DECLARED_UNKNOWN' });
    await expect(service.get('spoons', 'x')).rejects.toMatchObject({
      message: 'there is no kind «spoons»; there are cups, tables',
    });
  });
});

describe('the hook of a kind', () => {
  it('is told what changes within the transaction, and can refuse all of it', async () => {
    const told: DeclaredChange<Cup>[] = [];
    const { apply, service, held } = await setUp({
      ...cups,
      async saving(changes, tx) {
        told.push(...changes);
        const { rows } = await tx.query<{ count: number }>('select count(*) from declared');
        if (Number(rows[0]?.count) > 2) throw new Error('the cupboard is full');
      },
    });
    await apply(doc('Cup', 'red', '{size: 1}'));
    await apply(doc('Cup', 'red', '{size: 2}'), doc('Cup', 'blue', '{size: 3}'));
    await service.remove(ADMIN, 'cups', 'red');
    expect(told.map(({ name, before, after }) => [name, before?.size, after?.size])).toEqual([
      ['red', undefined, 1],
      ['red', 1, 2],
      ['blue', undefined, 3],
      ['red', 2, undefined],
    ]);
    await expect(apply(doc('Cup', 'x', '{}'), doc('Cup', 'y', '{}'))).rejects.toThrow('the cupboard is full');
    expect(held.list().map(({ name }) => name)).toEqual(['blue']);
  });
});

describe('what is stored', () => {
  it('holds after a restart, and on another replica once it looks', async () => {
    const first = await setUp();
    const other = await setUp();
    await first.apply(doc('Cup', 'red', '{size: 4}'));
    expect(other.held.list()).toEqual([]);
    await other.service.refresh();
    expect(other.held.get('red')?.spec.size).toBe(4);
    expect((await setUp()).held.get('red')?.spec.size).toBe(4);
    await first.service.remove(ADMIN, 'cup', 'red');
    await other.service.refresh();
    expect(other.held.get('red')).toBeUndefined();
  });

  it('is left out, and kept, when this build cannot read it', async () => {
    await (await setUp()).apply(doc('Cup', 'red', '{size: 4}'), doc('Cup', 'blue', '{size: 1}'));
    const strict = await setUp({
      ...cups,
      parse: (node, context) =>
        context.name === 'red' ? void context.report.add(node.at, 'no red') : cups.parse(node, context),
    });
    expect(strict.held.list().map(({ name }) => name)).toEqual(['blue']);
    expect(await strict.service.list('cups')).toHaveLength(2);
    await strict.service.remove(ADMIN, 'cups', 'red');
  });

  it('is changed by one apply at a time', async () => {
    const { service, held } = await setUp();
    const sizes = [1, 2, 3, 4, 5];
    const all = await Promise.all(
      sizes.map((size) => service.apply(ADMIN, [file('a', doc('Cup', 'red', `{size: ${size}}`))], { dryRun: false })),
    );
    expect(all.flat().filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    const stored = await service.get('cups', 'red');
    expect(held.get('red')?.spec.size).toBe((stored.spec as { size: number }).size);
  });
});
