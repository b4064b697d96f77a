import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { EnrollRequest, EnrollResponse } from '@openline/proto/agent';
import { ERROR_CODE_METADATA } from '@openline/proto/errors';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../tasks/clock.ts';
import { silentLog } from '../telemetry/log.ts';
import { type TestAuthority, testAuthority } from '../testing/certificates.ts';
import { type FakeServer, startFakeServer, until } from '../testing/fake-server.ts';
import { makeRequest } from './csr.ts';
import { type EnrollConfig, enroll, hashJoinToken } from './enroll.ts';
import type { Identity } from './identity.ts';
import { createIdentityStore } from './identity-store.ts';
import { fetchPinnedCa } from './pin.ts';
import { createRenewal, renewAtUnixMs } from './renewal.ts';

let authority: TestAuthority;
let dataDir: string;
let fake: FakeServer;

const issue = async ({ csrDer, name }: EnrollRequest): Promise<EnrollResponse> => ({
  agentId: 'agent-7',
  agentName: name,
  certificatePem: await authority.sign(csrDer),
  caPem: authority.caPem,
  trustedPackKeys: ['RWkey'],
});

beforeAll(async () => {
  authority = await testAuthority();
});
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'openline-enrol-'));
  fake = await startFakeServer({ identity: await authority.serverIdentity(), enroll: issue });
});
afterEach(async () => {
  await fake.stop();
  await rm(dataDir, { recursive: true });
});

function enrolled(config: Partial<EnrollConfig> = {}, signal = new AbortController().signal) {
  return enroll(
    { store: createIdentityStore(dataDir), clock: systemClock, random: () => 0.01, log: silentLog, signal },
    {
      servers: [{ host: 'localhost', port: fake.port }],
      name: 'web-1',
      credential: { kind: 'join', token: 'secret-token' },
      caHash: authority.caHash,
      caFile: undefined,
      ...config,
    },
  );
}

describe('an agent that joins', () => {
  it('gets an identity for its own key, and keeps it', async () => {
    const identity = await enrolled();
    expect(identity).toMatchObject({ agentId: 'agent-7', agentName: 'web-1', trustedPackKeys: ['RWkey'] });
    expect(new X509Certificate(identity.certificatePem).publicKey.asymmetricKeyType).toBe('ec');
    expect(fake.enrolls[0]?.credential).toEqual({ $case: 'joinToken', value: 'secret-token' });
    expect(await createIdentityStore(dataDir).load()).toEqual(identity);
  });

  it('keeps its key from other users of the machine', async () => {
    await enrolled();
    const dir = join(dataDir, 'identity');
    const key = (await readdir(dir)).find((name) => name.startsWith('key-')) ?? '';
    expect((await stat(join(dir, key))).mode & 0o777).toBe(0o600);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
  });

  it('remembers which token it used, not the token', async () => {
    const identity = await enrolled();
    expect(identity.joinTokenHash).toBe(hashJoinToken('secret-token'));
    expect(JSON.stringify(identity)).not.toContain('secret-token');
  });

  it('shows its token to no server of another CA', async () => {
    const other = await testAuthority();
    await expect(enrolled({ caHash: other.caHash })).rejects.toMatchObject({
      code: 'SERVER_UNTRUSTED',
      message: expect.stringContaining('nothing was sent'),
    });
    expect(fake.enrolls).toEqual([]);
  });

  it('is not deceived by a server that shows our CA beside a certificate of its own', async () => {
    const other = await testAuthority();
    const own = await other.serverIdentity();
    const leaf = own.certificatePem.slice(0, own.certificatePem.indexOf('-----END CERTIFICATE-----') + 25);
    const deceiver = await startFakeServer({
      identity: { certificatePem: `${leaf}\n${authority.caPem}\n`, keyPem: own.keyPem },
      enroll: issue,
    });
    await expect(enrolled({ servers: [{ host: 'localhost', port: deceiver.port }] })).rejects.toMatchObject({
      code: 'SERVER_UNTRUSTED',
    });
    expect(deceiver.enrolls).toEqual([]);
    await deceiver.stop();
  });

  it('is not deceived by another server of the same CA under a wrong name', async () => {
    const elsewhere = await startFakeServer({
      identity: await authority.serverIdentity('elsewhere.example'),
      enroll: issue,
    });
    await expect(enrolled({ servers: [{ host: 'localhost', port: elsewhere.port }] })).rejects.toMatchObject({
      code: 'SERVER_UNTRUSTED',
    });
    expect(elsewhere.enrolls).toEqual([]);
    await elsewhere.stop();
  });

  it('may name the CA by a file instead', async () => {
    const caFile = join(dataDir, 'ca.pem');
    await writeFile(caFile, authority.caPem);
    expect(await enrolled({ caHash: undefined, caFile })).toMatchObject({ agentId: 'agent-7' });
  });

  it('is told what to do when it names no CA at all', async () => {
    await expect(enrolled({ caHash: undefined })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('--ca-hash'),
    });
    expect(fake.enrolls).toEqual([]);
  });

  it('goes on to the next server when one does not answer', async () => {
    const servers = [
      { host: '127.0.0.1', port: 1 },
      { host: 'localhost', port: fake.port },
    ];
    expect(await enrolled({ servers })).toMatchObject({ agentId: 'agent-7' });
  });

  it('is told when the port is not the one for agents, or does not speak TLS', async () => {
    const operators = new Server();
    const { keyPem, certificatePem } = await authority.serverIdentity();
    const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificatePem) };
    const port = await new Promise<number>((resolve, reject) => {
      const secure = ServerCredentials.createSsl(null, [pair]);
      operators.bindAsync('localhost:0', secure, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    await expect(enrolled({ servers: [{ host: 'localhost', port }] })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `server: localhost:${port} is not the port for agents, which is 5723 unless configured otherwise`,
    });
    operators.forceShutdown();
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const address = plain.address();
    const asked = fetchPinnedCa('127.0.0.1', typeof address === 'object' ? (address?.port ?? 0) : 0, authority.caHash);
    await expect(asked).rejects.toThrow(/: what listens there does not speak TLS$/);
    plain.close();
  });

  it('gives up at once, with the server’s reason, when its token is refused', async () => {
    const refusing = await startFakeServer({
      identity: await authority.serverIdentity(),
      enroll: () => {
        const metadata = new Metadata();
        metadata.set(ERROR_CODE_METADATA, 'JOIN_TOKEN_INVALID');
        throw Object.assign(new Error(), { code: status.PERMISSION_DENIED, details: 'the token was used', metadata });
      },
    });
    await expect(enrolled({ servers: [{ host: 'localhost', port: refusing.port }] })).rejects.toMatchObject({
      code: 'JOIN_TOKEN_INVALID',
      message: expect.stringContaining('the token was used'),
    });
    await refusing.stop();
  });

  it('asks with the same key again after an answer that got lost', async () => {
    const store = createIdentityStore(dataDir);
    const key = await store.pendingKey(() => '-----BEGIN PRIVATE KEY-----1');
    expect(await createIdentityStore(dataDir).pendingKey(() => '-----BEGIN PRIVATE KEY-----2')).toBe(key);
  });
});

describe('a stored identity', () => {
  it('is the old one or the new one, whatever a crash left half-written', async () => {
    const identity = await enrolled();
    const dir = join(dataDir, 'identity');
    await writeFile(join(dir, 'key-0123.pem'), 'half a ke');
    await writeFile(join(dir, '.tmp-77'), '{"agentId":');
    expect(await createIdentityStore(dataDir).load()).toEqual(identity);
    await createIdentityStore(dataDir).save({ ...identity, agentName: 'renamed' });
    expect(await readdir(dir)).toHaveLength(4);
  });

  it('that cannot be read is an error that names the file, not a new agent', async () => {
    await enrolled();
    await writeFile(join(dataDir, 'identity', 'agent.json'), '{"agentId": 7}');
    await expect(createIdentityStore(dataDir).load()).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringContaining('agent.json'),
    });
  });

  it('is absent on a new machine', async () => {
    expect(await createIdentityStore(dataDir).load()).toBeUndefined();
  });
});

describe('a certificate', () => {
  it('is renewed at half its life, give or take a tenth', async () => {
    const { certificatePem } = await authority.agentIdentity(10 * 3_600_000);
    const { validFrom, validTo } = new X509Certificate(certificatePem);
    const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
    expect((renewAtUnixMs(certificatePem, () => 0) - fromMs) / (toMs - fromMs)).toBeCloseTo(0.4);
    expect((renewAtUnixMs(certificatePem, () => 1) - fromMs) / (toMs - fromMs)).toBeCloseTo(0.6);
  });

  it('is replaced together with its key, on disk before in use', async () => {
    const store = createIdentityStore(dataDir);
    let identity = await enrolled();
    const old = identity;
    // Its half life is over.
    const certificatePem = await authority.sign(makeRequest(old.keyPem), 1);
    identity = { ...identity, certificatePem };
    let renewed: Identity | undefined;
    const renewal = createRenewal({
      clock: systemClock,
      random: () => 0,
      log: silentLog,
      identity: () => identity,
      renew: async (csrDer) => ({ certificatePem: await authority.sign(csrDer), caPem: authority.caPem }),
      async keep(part) {
        const next = { ...identity, ...part };
        await store.save(next);
        renewed = next;
      },
    });
    renewal.start();
    renewal.connected();
    await until(() => renewed !== undefined, 'a renewed identity');
    renewal.stop();
    expect(renewed).not.toMatchObject({ keyPem: old.keyPem });
    expect(await store.load()).toEqual(renewed);
  });
});
