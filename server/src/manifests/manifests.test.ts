import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, parsePublicKey } from '@openline/packs';
import { textOf } from '@openline/packs/read';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAuditLog } from '../audit/audit-log.ts';
import { systemClock } from '../clock.ts';
import { silentLog, withTestDatabase } from '../db/testing.ts';
import { createDeclaredService } from '../declared/declared-service.ts';
import { createDeclaredRegistry } from '../declared/registry.ts';
import { createPackService } from '../packs/create-pack-service.ts';
import { startManifests } from './manifests.ts';

const db = withTestDatabase();

const pack = (version: string, name = 'demo') => `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: ${name}, version: ${version}, title: Demo, description: For a test. }
tasks:
  hello:
    title: Hello
    description: Says hello.
    timeout: 10s
    run: { command: [echo, hello] }
`;
const note = (name: string, text: string) => `apiVersion: openline.dev/v1
kind: Note
metadata: { name: ${name} }
spec: { text: ${text} }
`;

async function setUp() {
  const directory = mkdtempSync(join(tmpdir(), 'openline-manifests-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const packKeyFile = join(directory, 'packs.key');
  const keys = generateKeyPair('test');
  writeFileSync(packKeyFile, keys.secretKey);
  const audit = createAuditLog({ db: db.kysely });
  const trustedKeys = () => [parsePublicKey(keys.publicKey)];
  const packs = await createPackService({ db: db.kysely, audit, trustedKeys, log: silentLog });
  const registry = createDeclaredRegistry();
  const notes = registry.register({
    kind: 'Note',
    plural: 'notes',
    role: 'admin',
    parse: (spec, { report }) => ({
      text: textOf(report, spec.kind === 'map' ? spec.entries.get('text')?.value : undefined, "'text'", 100),
    }),
  });
  const declared = await createDeclaredService({ pool: db.pool, registry, audit, clock: systemClock, log: silentLog });
  onTestFinished(() => declared.stop());
  const errors: string[] = [];
  let wake = () => {};
  const clock = {
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        wake = resolve;
        signal?.addEventListener('abort', () => resolve());
      }),
  };
  const log = { info: () => {}, error: (fields: object) => errors.push(String(Reflect.get(fields, 'err'))) };
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const start = async () => {
    const manifests = await startManifests({ packs, declared, clock, log }, { directories: [directory], packKeyFile });
    onTestFinished(() => manifests.stop());
  };
  return {
    write,
    remove: (name: string) => rmSync(join(directory, name)),
    away: (is: boolean) => renameSync(is ? directory : `${directory}.away`, is ? `${directory}.away` : directory),
    start,
    errors,
    declared,
    packs: () => packs.wanted().map((one) => `${one.pack.name} ${one.pack.version}`),
    notes: () => notes.list().map(({ name, spec }) => `${name} ${spec.text}`),
    /** The next look, until it is done. */
    async look() {
      const before = wake;
      before();
      await expect.poll(() => wake).not.toBe(before);
    },
  };
}

describe('files that are the truth', () => {
  it('are taken at the start: packs signed with the key of this server, and what is declared', async () => {
    const s = await setUp();
    s.write('demo.yaml', pack('1.0.0').replace('kind: Pack', 'kind: "Pack" # of ours'));
    s.write('notes.yaml', `${note('a', 'x')}---\n${note('b', 'y')}`);
    s.write('demo.test.yaml', 'no pack');
    s.write('README.md', 'no manifest');
    await s.start();
    expect(s.errors).toEqual([]);
    expect(s.packs()).toEqual(['demo 1.0.0']);
    expect(s.notes()).toEqual(['a x', 'b y']);
  });

  it('are followed: what changes is taken, and what is gone goes', async () => {
    const s = await setUp();
    s.write('demo.yaml', pack('1.0.0'));
    s.write('other.yaml', pack('1.0.0', 'other'));
    s.write('notes.yaml', `${note('a', 'x')}---\n${note('b', 'y')}`);
    await s.start();
    s.write('demo.yaml', pack('1.1.0'));
    s.remove('other.yaml');
    s.write('notes.yaml', note('b', 'z'));
    await s.look();
    expect(s.errors).toEqual([]);
    expect(s.packs()).toEqual(['demo 1.1.0']);
    expect(s.notes()).toEqual(['b z']);
  });

  it('may declare nothing, or nothing any more', async () => {
    const s = await setUp();
    await s.start();
    expect(s.errors).toEqual([]);
    s.write('notes.yaml', note('a', 'x'));
    await s.look();
    s.remove('notes.yaml');
    await s.look();
    expect(s.errors).toEqual([]);
    expect(s.notes()).toEqual([]);
  });

  it('leave alone what people applied', async () => {
    const s = await setUp();
    s.write('notes.yaml', note('a', 'x'));
    const alice = { id: 'u', name: 'alice', role: 'admin' } as const;
    await s.declared.apply(alice, [{ name: 'n', content: Buffer.from(note('hers', 'h')) }], { dryRun: false });
    await s.start();
    s.write('notes.yaml', note('b', 'x'));
    await s.look();
    expect(s.notes()).toEqual(['b x', 'hers h']);
  });

  it('that are wrong are complained of, and take nothing away', async () => {
    const s = await setUp();
    s.write('demo.yaml', pack('1.0.0'));
    s.write('notes.yaml', note('a', 'x'));
    await s.start();
    s.write('demo.yaml', 'kind: Pack\nmetadata: 7\n');
    s.write('notes.yaml', 'kind: Note\n');
    await s.look();
    await s.look();
    expect(s.errors).toHaveLength(1);
    expect(s.errors[0]).toMatch(/demo\.yaml.*notes\.yaml/s);
    expect(s.packs()).toEqual(['demo 1.0.0']);
    expect(s.notes()).toEqual(['a x']);
    s.write('demo.yaml', pack('1.1.0'));
    s.write('notes.yaml', note('b', 'x'));
    await s.look();
    expect(s.packs()).toEqual(['demo 1.1.0']);
    expect(s.notes()).toEqual(['b x']);
  });

  it('are taken again when a directory was away', async () => {
    const s = await setUp();
    s.write('notes.yaml', note('a', 'x'));
    s.away(true);
    await s.start();
    await s.look();
    expect(s.errors).toHaveLength(1);
    s.away(false);
    await s.look();
    expect(s.notes()).toEqual(['a x']);
  });
});
