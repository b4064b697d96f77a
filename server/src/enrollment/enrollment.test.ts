import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Principal } from '../access/access.ts';
import { createAccessService } from '../access/access-service.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../clock.ts';
import { silentLog, withTestDatabase } from '../db/testing.ts';
import { createFileStateStore } from '../state/file-store.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { openCertificateAuthority } from './certificate-authority.ts';
import { createEnrollmentService } from './enrollment-service.ts';
import { ALGORITHM, generateKeys, type KeyPair } from './x509.ts';

const ADMIN: Principal = { id: 'a', name: 'alice', role: 'admin' };
const HOUR_MS = 3_600_000;
const START = Date.parse('2030-01-01T00:00:00Z');

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-ca-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function clockAt(startMs: number): Clock & { pass(ms: number): void } {
  let elapsedMs = 0;
  return {
    nowMs: () => elapsedMs,
    now: () => new Date(startMs + elapsedMs),
    sleep: () => Promise.reject(new Error('nothing sleeps here')),
    pass: (ms) => {
      elapsedMs += ms;
    },
  };
}

const openCa = (dataDir: string, clock: Clock) =>
  openCertificateAuthority(
    { state: createFileStateStore(dataDir), now: clock.now },
    {
      dataDir,
      agentCertificateTtlMs: 24 * HOUR_MS,
      advertise: ['localhost'],
      overlapMs: 24 * HOUR_MS,
      longestLifeMs: 24 * HOUR_MS,
    },
  );

async function request(keys: KeyPair, algorithm: object = ALGORITHM): Promise<Uint8Array> {
  const wish = [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: 'spiffe://evil/agent/admin' }])];
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=whatever',
    keys,
    signingAlgorithm: { ...ALGORITHM, ...algorithm },
    extensions: wish,
  });
  return new Uint8Array(csr.rawData);
}

describe('enrolment', () => {
  const db = withTestDatabase();

  async function setUp() {
    const clock = clockAt(START);
    const ca = await openCa(folder(), clock);
    const audit = createAuditLog({ db: db.kysely });
    const metrics = createMetrics();
    const access = createAccessService({ db: db.kysely, audit, clock, log: silentLog });
    const enrollment = createEnrollmentService({ db: db.kysely, ca, audit, clock, metrics, enrollNode: undefined });
    const joinToken = async (labels = {}, ttlMs?: number) =>
      (await access.createJoinToken(ADMIN, 't', labels, ttlMs)).secret;
    return { clock, ca, audit, metrics, access, enrollment, joinToken, keys: await generateKeys() };
  }
  const agents = () => db.kysely.selectFrom('agents').selectAll().orderBy('id').execute();

  it('creates the agent with the labels that its token pins, and writes down who let it in', async () => {
    const { enrollment, joinToken, audit, keys } = await setUp();
    const enrolled = await enrollment.enrollWithToken(await joinToken({ role: 'web' }), await request(keys), 'web-1');
    expect(await agents()).toMatchObject([
      {
        id: enrolled.agentId,
        name: 'web-1',
        pinned_labels: { role: 'web' },
        certificate_expires_at: enrolled.notAfter,
      },
    ]);
    expect(new X509Certificate(enrolled.certificatePem).subject).toBe(`CN=${enrolled.agentId}`);
    expect((await audit.list(1, undefined))[0]).toMatchObject({ action: 'agent.enroll', object: enrolled.agentId });
  });

  it('succeeds exactly once when twenty come with the same token at once', async () => {
    const { enrollment, joinToken, metrics } = await setUp();
    const secret = await joinToken();
    const attempts = Array.from({ length: 20 }, async (_, i) =>
      enrollment.enrollWithToken(secret, await request(await generateKeys()), `node-${i}`),
    );
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'JOIN_TOKEN_INVALID' });
    }
    expect(await agents()).toHaveLength(1);
    const { body } = await metrics.render();
    expect(body).toContain('openline_enrollments_total{kind="enroll",outcome="JOIN_TOKEN_INVALID"} 19');
  });

  it('may be repeated by the same key with the same token, for the answer may be lost on its way', async () => {
    const { enrollment, joinToken, keys } = await setUp();
    const secret = await joinToken();
    const first = await enrollment.enrollWithToken(secret, await request(keys), 'web-1');
    const again = await enrollment.enrollWithToken(secret, await request(keys), 'web-1');
    expect(again.agentId).toBe(first.agentId);
    expect(await agents()).toHaveLength(1);
  });

  it('is refused with a token that is expired, revoked, unknown or an operator’s', async () => {
    const { enrollment, access, joinToken, clock, keys } = await setUp();
    const expired = await joinToken({}, 1_000);
    clock.pass(1_000);
    const { token, secret: revoked } = await access.createJoinToken(ADMIN, 't', {}, undefined);
    await access.revokeToken(ADMIN, token.id);
    const { secret: operator } = await access.createOperatorToken(ADMIN, 'o', 'admin', undefined);
    for (const secret of [expired, revoked, `olj_${'x'.repeat(43)}`, operator, '']) {
      const attempt = enrollment.enrollWithToken(secret, await request(keys), 'web-1');
      await expect(attempt).rejects.toMatchObject({ code: 'JOIN_TOKEN_INVALID' });
    }
    expect(await agents()).toEqual([]);
  });

  it('leaves the token as it was when the name is taken or the request is wrong', async () => {
    const { enrollment, joinToken, keys } = await setUp();
    await enrollment.enrollWithToken(await joinToken(), await request(keys), 'web-1');
    const secret = await joinToken();
    const other = await generateKeys();
    const taken = enrollment.enrollWithToken(secret, await request(other), 'web-1');
    await expect(taken).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    const wrong = enrollment.enrollWithToken(secret, new Uint8Array(3), 'web-2');
    await expect(wrong).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await enrollment.enrollWithToken(secret, await request(other), 'web-2');
  });

  it.each(['', '-a', 'a-', 'a b', 'a/b', 'a\n', 'é', 'a'.repeat(254)])('refuses %j as a name', async (name) => {
    const { enrollment, joinToken, keys } = await setUp();
    const attempt = enrollment.enrollWithToken(await joinToken(), await request(keys), name);
    await expect(attempt).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });

  it('is renewed for the same identity, with the same key or a new one', async () => {
    const { enrollment, joinToken, clock, keys } = await setUp();
    const { agentId } = await enrollment.enrollWithToken(await joinToken(), await request(keys), 'web-1');
    clock.pass(12 * HOUR_MS);
    const renewed = await enrollment.renew(agentId, await request(await generateKeys()));
    expect(renewed.notAfter).toEqual(new Date(START + 36 * HOUR_MS));
    expect((await agents())[0]?.certificate_expires_at).toEqual(renewed.notAfter);
  });

  it('is not renewed for an agent that is unknown or revoked, nor given to it again', async () => {
    const { enrollment, joinToken, keys } = await setUp();
    const secret = await joinToken();
    const csr = await request(keys);
    await expect(enrollment.renew('nobody', csr)).rejects.toMatchObject({ code: 'IDENTITY_UNKNOWN' });
    const { agentId } = await enrollment.enrollWithToken(secret, csr, 'web-1');
    await db.kysely.updateTable('agents').set({ revoked_at: new Date() }).where('id', '=', agentId).execute();
    await expect(enrollment.renew(agentId, csr)).rejects.toMatchObject({ code: 'AGENT_REVOKED' });
    const again = enrollment.enrollWithToken(secret, csr, 'web-1');
    await expect(again).rejects.toMatchObject({ code: 'JOIN_TOKEN_INVALID' });
  });
});
