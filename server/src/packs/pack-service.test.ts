import { digestOf, generateKeyPair, parsePublicKey, parseSecretKey, signPack } from '@openline/packs';
import { MAX_PACK_BYTES } from '@openline/proto/limits';
import { describe, expect, it } from 'vitest';
import type { Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import { silentLog, withTestDatabase } from '../db/testing.ts';
import { createPackService } from './create-pack-service.ts';
import { readPackHolders } from './pack-holders.ts';
import type { PackService } from './pack-service.ts';

const database = withTestDatabase();
const admin: Principal = { id: 'token-1', name: 'ada', role: 'admin' };
const keys = generateKeyPair('trusted');
const strangers = generateKeyPair('not trusted');

let packs: PackService;

const audit: AuditLog = {
  list: async () => [],
  async record({ principal, action, object, details }, on = database.kysely) {
    await on
      .insertInto('audit')
      .values({ principal, action, object, details: JSON.stringify(details) })
      .execute();
  },
};

function start(): Promise<PackService> {
  return createPackService({
    db: database.kysely,
    audit,
    trustedKeys: () => [parsePublicKey(keys.publicKey)],
    log: silentLog,
  });
}

function packText(version: string, task = 'ping', name = 'sample'): Buffer {
  return Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata:
  name: ${name}
  version: ${version}
  title: Sample
  description: For tests.
tasks:
  ${task}:
    title: Ping
    description: Answers.
    run:
      builtin: ping
  wait-for-it:
    title: Wait
    description: Waits.
    parameters:
      seconds: { type: integer, minimum: 1, default: 5, description: How long. }
    run:
      builtin: ping
`);
}

const sign = (content: Buffer, with_ = keys) => signPack(content, parseSecretKey(with_.secretKey), 'test');
const push = (on: PackService, content: Buffer) => on.push(admin, content, sign(content), 'sample.yaml');
const audited = () =>
  database.kysely.selectFrom('audit').select(['principal', 'action', 'object', 'details']).orderBy('seq').execute();
const stored = async () =>
  (await database.kysely.selectFrom('packs').select(['version', 'wanted']).orderBy('version').execute()).map(
    ({ version, wanted }) => (wanted ? `${version} wanted` : version),
  );

async function openRun(packName: string, endedAt: Date | null): Promise<void> {
  await database.kysely
    .insertInto('runs')
    .values({
      id: 'run-1',
      task: `${packName}/ping`,
      targets: 'all',
      pack_digest: Buffer.alloc(32),
      pack_name: packName,
      pack_version: '1.0.0',
      task_name: 'ping',
      parameters: '{}',
      timeout_ms: 1000,
      ttl_ms: 1000,
      offline: 'wait',
      requested_by: 'ada',
      principal_id: 'token-1',
      request_hash: Buffer.alloc(32),
      created_at: new Date(),
      expires_at: new Date(),
      ended_at: endedAt,
      target_count: 1,
    })
    .execute();
}

describe('a push', () => {
  it('stores the pack, makes it the wanted version, tells who listens, and is on record', async () => {
    packs = await start();
    let rung = 0;
    packs.onWantedChanged(() => rung++);
    const content = packText('1.0.0');
    const { stored: pack, unchanged } = await push(packs, content);
    expect(unchanged).toBe(false);
    expect(pack).toMatchObject({ digest: digestOf(content), keyId: keys.keyId, pushedBy: 'ada', wanted: true });
    expect(packs.wanted()).toEqual([pack]);
    expect(packs.byDigest(digestOf(content))).toBe(pack);
    expect(rung).toBe(1);
    expect(await audited()).toEqual([
      {
        principal: 'ada',
        action: 'pack.push',
        object: 'sample',
        details: { version: '1.0.0', digest: digestOf(content).toString('hex'), keyId: keys.keyId },
      },
    ]);
  });

  it('of the same bytes again changes nothing and says so', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    let rung = 0;
    packs.onWantedChanged(() => rung++);
    expect(await push(packs, packText('1.0.0'))).toMatchObject({ unchanged: true });
    expect(rung).toBe(0);
    expect(await audited()).toHaveLength(1);
  });

  it('of a newer version takes the place of the older one, which stays to be asked for', async () => {
    packs = await start();
    await push(packs, packText('1.9.0'));
    await push(packs, packText('1.10.0'));
    expect(await stored()).toEqual(['1.10.0 wanted', '1.9.0']);
    expect(packs.get('sample').pack.version).toBe('1.10.0');
    expect(packs.get('sample@1.9.0').pack.version).toBe('1.9.0');
    expect(packs.list().map(({ pack }) => pack.version)).toEqual(['1.10.0', '1.9.0']);
  });

  it.each([
    [
      'with bytes that were changed',
      'PACK_SIGNATURE_INVALID',
      () => [packText('2.0.0'), sign(packText('2.0.1'))] as const,
    ],
    [
      'signed by a stranger',
      'PACK_KEY_UNTRUSTED',
      () => [packText('2.0.0'), sign(packText('2.0.0'), strangers)] as const,
    ],
    ['that is no pack', 'PACK_INVALID', () => [Buffer.from('tasks: ['), sign(Buffer.from('tasks: ['))] as const],
    ['of a version in place with other content', 'PACK_CONTENT_CHANGED', () => twice(packText('1.0.0', 'pong'))],
    ['of an older version', 'PACK_DOWNGRADE', () => twice(packText('0.9.0'))],
    ['of a prerelease of what is in place', 'PACK_DOWNGRADE', () => twice(packText('1.0.0-rc.1'))],
    ['larger than a pack may be', 'PACK_INVALID', () => [Buffer.alloc(MAX_PACK_BYTES + 1), 'unsigned'] as const],
  ])('%s is refused with %s, is on record, and changes nothing', async (_title, code, make) => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    const [content, signature] = make();
    await expect(packs.push(admin, content, signature, 'bad.yaml')).rejects.toMatchObject({ code });
    expect(await stored()).toEqual(['1.0.0 wanted']);
    expect((await audited()).at(-1)).toMatchObject({
      principal: 'ada',
      action: 'pack.push.refused',
      object: 'bad.yaml',
      details: { code, digest: digestOf(content).toString('hex') },
    });
  });

  it('back to a version that was there before is a downgrade, not “unchanged”', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    await push(packs, packText('1.1.0'));
    await expect(push(packs, packText('1.0.0'))).rejects.toMatchObject({ code: 'PACK_DOWNGRADE' });
  });

  it('at the same time as others leaves exactly one wanted version, the newest', async () => {
    packs = await start();
    const versions = ['1.0.0', '1.1.0', '1.2.0', '1.3.0', '1.3.0'];
    const outcomes = await Promise.allSettled(versions.map((version) => push(packs, packText(version))));
    const codes = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'stored'));
    expect(codes.filter((code) => code !== 'stored' && code !== 'PACK_DOWNGRADE')).toEqual([]);
    expect((await stored()).filter((line) => line.endsWith('wanted'))).toEqual(['1.3.0 wanted']);
    expect(packs.wanted().map(({ pack }) => pack.version)).toEqual(['1.3.0']);
  });

  it('at the same time as one of other content under the same version: one of them is refused', async () => {
    packs = await start();
    const outcomes = await Promise.allSettled([push(packs, packText('1.0.0')), push(packs, packText('1.0.0', 'pong'))]);
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.map(({ reason }) => reason.code)).toEqual(['PACK_CONTENT_CHANGED']);
    expect(await stored()).toEqual(['1.0.0 wanted']);
  });
});

function twice(content: Buffer): readonly [Buffer, string] {
  return [content, sign(content)];
}

describe('a removal', () => {
  it('takes every version away, is on record and tells who listens', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    await push(packs, packText('1.1.0'));
    let rung = 0;
    packs.onWantedChanged(() => rung++);
    await packs.remove(admin, 'sample');
    expect(await stored()).toEqual([]);
    expect(packs.list()).toEqual([]);
    expect(rung).toBe(1);
    expect((await audited()).at(-1)).toMatchObject({ action: 'pack.remove', object: 'sample' });
  });

  it('is refused while a run is open, naming it, and works once that has ended', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    await openRun('sample', null);
    await expect(packs.remove(admin, 'sample')).rejects.toMatchObject({
      code: 'PACK_IN_USE',
      message: 'pack «sample» is needed by open runs: run-1',
    });
    expect(await stored()).toEqual(['1.0.0 wanted']);
    await database.kysely.updateTable('runs').set({ ended_at: new Date() }).execute();
    await packs.remove(admin, 'sample');
    expect(await stored()).toEqual([]);
  });

  it('of what is not there is refused, with what is like it', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    await expect(packs.remove(admin, 'sampel')).rejects.toMatchObject({
      code: 'PACK_UNKNOWN',
      message: "there is no pack «sampel»; did you mean 'sample'?",
    });
  });
});

describe('a server that starts', () => {
  it('knows what was pushed before', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    const again = await start();
    expect(again.wanted()).toEqual(packs.wanted());
  });

  it('leaves out a stored pack that cannot be read any more, and starts', async () => {
    packs = await start();
    await push(packs, packText('1.0.0'));
    await push(packs, packText('1.0.0', 'ping', 'other'));
    await database.kysely
      .updateTable('packs')
      .set({ content: Buffer.from('?') })
      .where('name', '=', 'other')
      .execute();
    const again = await start();
    expect(again.list().map(({ pack }) => pack.name)).toEqual(['sample']);
  });
});

describe('how far packs have come', () => {
  it('counts ready and refused among the agents that are connected', async () => {
    packs = await start();
    const content = packText('1.0.0');
    await push(packs, content);
    const digest = digestOf(content);
    const agents = [
      { id: 'a', online: true, pack: { ready: true } },
      { id: 'b', online: true, pack: { ready: false, reason_code: 'PACK_KEY_UNTRUSTED' } },
      { id: 'c', online: true, pack: undefined },
      { id: 'd', online: false, pack: { ready: true } },
    ];
    for (const { id, online, pack } of agents) {
      await database.kysely.insertInto('agents').values({ id, name: id, enrolled_with: 't', online }).execute();
      if (pack)
        await database.kysely
          .insertInto('agent_packs')
          .values({ agent_id: id, digest, ...pack })
          .execute();
    }
    const { connectedAgents, byDigest } = await readPackHolders(database.kysely);
    expect(connectedAgents).toBe(3);
    expect(byDigest.get(digest.toString('hex'))).toEqual({ ready: 1, refused: 1 });
  });
});
