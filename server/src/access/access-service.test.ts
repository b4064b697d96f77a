import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAuditLog } from '../audit/audit-log.ts';
import { type Clock, systemClock } from '../clock.ts';
import { silentLog, withTestDatabase } from '../db/testing.ts';
import { createFileStateStore } from '../state/file-store.ts';
import { STATE_FILES } from '../state/state.ts';
import type { Principal } from './access.ts';
import { createAccessService } from './access-service.ts';
import { ensureAdminToken, writeClientFile } from './first-token.ts';
import { createWorkloads } from './workloads.ts';

const db = withTestDatabase();
const ADMIN: Principal = { id: 'a', name: 'alice', role: 'admin' };
const START = Date.parse('2030-01-01T00:00:00Z');

function setUp() {
  let elapsedMs = 0;
  const clock: Clock = {
    nowMs: () => elapsedMs,
    now: () => new Date(START + elapsedMs),
    sleep: () => Promise.reject(new Error('nothing sleeps here')),
  };
  const audit = createAuditLog({ db: db.kysely });
  const create = () => createAccessService({ db: db.kysely, audit, clock, log: silentLog });
  return {
    access: create(),
    replica: create(),
    audit,
    pass: (ms: number) => {
      elapsedMs += ms;
    },
  };
}

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-access-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

describe('an operator token', () => {
  it('lets in whom it was made for, with the role it has', async () => {
    const { access } = setUp();
    const { token, secret } = await access.createOperatorToken(ADMIN, 'ci', 'operator', undefined);
    expect(secret).toMatch(/^olo_[A-Za-z0-9_-]{43}$/);
    expect(await access.authenticate(secret)).toEqual({ id: token.id, name: 'ci', role: 'operator' });
  });

  it('is nowhere stored as it is', async () => {
    const { access } = setUp();
    const { secret } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', undefined);
    const { rows } = await db.pool.query('select t::text as row from tokens t union all select a::text from audit a');
    expect(rows.length).toBeGreaterThan(1);
    for (const { row } of rows) expect(row).not.toContain(secret.slice(4));
  });

  it.each(['', 'olo_short', `olo_${'x'.repeat(43)}`, `olj_${'x'.repeat(43)}`, `olo_${'x'.repeat(10_000)}`])(
    'that nobody made is refused: %.20s',
    async (secret) => {
      await expect(setUp().access.authenticate(secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    },
  );

  it('ends when its time is over, to the millisecond, though it is remembered', async () => {
    const { access, pass } = setUp();
    const { secret } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', 1_000);
    pass(999);
    await access.authenticate(secret);
    pass(1);
    await expect(access.authenticate(secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('ends here at once when it is revoked, and on another replica within seconds', async () => {
    const { access, replica, pass } = setUp();
    const { token, secret } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', undefined);
    await access.authenticate(secret);
    await replica.authenticate(secret);
    await access.revokeToken(ADMIN, token.id);
    await expect(access.authenticate(secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    pass(3_001);
    await expect(replica.authenticate(secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('is asked for at the database once in a few seconds, not at each request', async () => {
    const { access } = setUp();
    const { secret } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', undefined);
    await access.authenticate(secret);
    await db.pool.query('delete from tokens');
    await access.authenticate(secret);
  });

  it('shows roughly when it was last used', async () => {
    const { access, pass } = setUp();
    const { token, secret } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', undefined);
    const lastUsed = async () => (await access.listTokens()).find(({ id }) => id === token.id)?.lastUsedAt?.getTime();
    await access.authenticate(secret);
    await expect.poll(lastUsed).toBe(START);
    pass(59_000);
    await access.authenticate(secret);
    pass(1_000);
    await access.authenticate(secret);
    await expect.poll(lastUsed).toBe(START + 60_000);
  });

  it('is recorded when it is made and when it is revoked, once', async () => {
    const { access, audit } = setUp();
    const { token } = await access.createOperatorToken(ADMIN, 'ci', 'viewer', undefined);
    await access.revokeToken(ADMIN, token.id);
    await access.revokeToken(ADMIN, token.id);
    const entries = await audit.list(10, undefined);
    expect(entries.map(({ action, object, principal }) => [action, object, principal])).toEqual([
      ['token.revoke', token.id, 'alice'],
      ['token.create', token.id, 'alice'],
    ]);
  });

  it('that does not exist cannot be revoked', async () => {
    await expect(setUp().access.revokeToken(ADMIN, 'nobody')).rejects.toMatchObject({ code: 'TOKEN_UNKNOWN' });
  });

  it.each(['', ' ', 'a\nb', 'x'.repeat(101)])('needs a name that people can read, not %j', async (name) => {
    const made = setUp().access.createOperatorToken(ADMIN, name, 'viewer', undefined);
    await expect(made).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });
});

describe('a join token', () => {
  it('lets no operator in, lives a day by itself, and keeps its labels', async () => {
    const { access } = setUp();
    const { token, secret } = await access.createJoinToken(ADMIN, 'web-1', { role: 'web' }, undefined);
    expect(secret).toMatch(/^olj_/);
    expect(token).toMatchObject({ kind: 'join', labels: { role: 'web' }, expiresAt: new Date(START + 86_400_000) });
    await expect(access.authenticate(secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

describe('the token of a service account', () => {
  const tokenOf = (account: string) =>
    `${['{}', JSON.stringify({ sub: `system:serviceaccount:${account}` })].map((part) => Buffer.from(part).toString('base64url')).join('.')}.x`;
  const MINE = tokenOf('shop:deploy');

  function workloadSetUp(status: object, answering = Promise.resolve()) {
    let elapsedMs = 0;
    const clock: Clock = { ...systemClock, nowMs: () => elapsedMs };
    const asked: unknown[] = [];
    const api = {
      async post(_path: string, body: unknown) {
        asked.push(body);
        await answering;
        return { status };
      },
    };
    const pass = (ms: number) => {
      elapsedMs += ms;
    };
    const kubernetesOperators = [{ account: 'shop:deploy', role: 'operator' as const }];
    const workloads = createWorkloads(api, { kubernetesOperators, kubernetesAudience: 'openline' });
    const access = createAccessService({ db: db.kysely, audit: setUp().audit, clock, log: silentLog, workloads });
    return { access, asked, pass };
  }
  const accepted = (account: string) => ({
    authenticated: true,
    audiences: ['openline'],
    user: { username: `system:serviceaccount:${account}` },
  });

  it('lets it in with the role it was given, by a name that no token can have', async () => {
    const { access, asked } = workloadSetUp(accepted('shop:deploy'));
    const name = 'serviceaccount:shop:deploy';
    expect(await access.authenticate(MINE)).toEqual({ id: name, name, role: 'operator' });
    expect(asked).toMatchObject([{ spec: { token: MINE, audiences: ['openline'] } }]);
    await expect(access.createOperatorToken(ADMIN, name, 'viewer', undefined)).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
    });
  });

  it('is reviewed again after a few seconds, not at each request', async () => {
    const { access, asked, pass } = workloadSetUp(accepted('shop:deploy'));
    await access.authenticate(MINE);
    pass(3_000);
    await access.authenticate(MINE);
    expect(asked).toHaveLength(1);
    pass(1);
    await access.authenticate(MINE);
    expect(asked).toHaveLength(2);
  });

  it.each([
    ['the cluster does not accept', { authenticated: false }],
    ['is made for somebody else', { ...accepted('shop:deploy'), audiences: ['vault'] }],
    ['is another one than it says', accepted('shop:other')],
  ])('that %s is refused', async (_what, status) => {
    const { access } = workloadSetUp(status);
    await expect(access.authenticate(MINE)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it.each([tokenOf('shop:other'), tokenOf('shop'), 'a.b.c', 'x'])(
    'that nobody made an operator is refused without asking the cluster: %s',
    async (token) => {
      const { access, asked } = workloadSetUp(accepted('shop:deploy'));
      await expect(access.authenticate(token)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      expect(asked).toEqual([]);
    },
  );

  it('is one of at most eight that the cluster is asked about at a time', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { access, asked } = workloadSetUp(accepted('shop:deploy'), promise);
    const forged = Array.from({ length: 9 }, (_, index) => access.authenticate(`${MINE}${index}`));
    await expect(forged[8]).rejects.toMatchObject({ code: 'SERVER_BUSY' });
    resolve();
    await Promise.all(forged.slice(0, 8));
    expect(asked).toHaveLength(8);
    await access.authenticate(MINE);
  });
});

describe('the first admin token', () => {
  const first = (dataDir: string, reset = false) =>
    ensureAdminToken(
      { db: db.kysely, audit: createAuditLog({ db: db.kysely }), state: createFileStateStore(dataDir) },
      { reset },
    );
  const written = (dataDir: string) => readFileSync(join(dataDir, STATE_FILES.adminToken), 'utf8').trim();

  it('is made once, also by servers that start together, and only its owner can read it', async () => {
    const { access } = setUp();
    const dataDir = folder();
    expect((await Promise.all([first(dataDir), first(dataDir)])).sort()).toEqual([false, true]);
    expect(await first(dataDir)).toBe(false);
    expect(await access.authenticate(written(dataDir))).toMatchObject({ name: 'admin', role: 'admin' });
    expect(statSync(join(dataDir, STATE_FILES.adminToken)).mode & 0o777).toBe(0o600);
  });

  it('is replaced on request; the old one is revoked, tokens of people stay', async () => {
    const { access } = setUp();
    const dataDir = folder();
    await first(dataDir);
    const old = written(dataDir);
    const { secret: ofAlice } = await access.createOperatorToken(ADMIN, 'admin', 'admin', undefined);
    await first(dataDir, true);
    await access.authenticate(written(dataDir));
    await access.authenticate(ofAlice);
    await expect(access.authenticate(old)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('is found by the CLI through a file whose paths move with the folder', () => {
    const dataDir = folder();
    writeClientFile(dataDir, 'localhost:5724', 'ca/ca.pem');
    const file = join(dataDir, 'client.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      server: 'localhost:5724',
      caFile: 'ca/ca.pem',
      tokenFile: 'admin-token',
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
