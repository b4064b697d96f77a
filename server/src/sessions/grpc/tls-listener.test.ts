import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openCertificateAuthority } from '../../enrollment/certificate-authority.ts';
import { createFileStateStore } from '../../state/file-store.ts';
import { listenTls } from './tls-listener.ts';

it('an agents’ port that another program has is named, as the key that sets it', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'openline-port-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const other = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;

  const deps = { state: createFileStateStore(dataDir), now: () => new Date() };
  const ca = await openCertificateAuthority(deps, {
    dataDir,
    agentCertificateTtlMs: 60_000,
    advertise: ['localhost'],
    overlapMs: 0,
    longestLifeMs: 60_000,
  });
  const nobody = { trustDomain: ca.trustDomain, onConnection: () => {}, onHandshake: () => {} };
  await expect(listenTls({ host: '127.0.0.1', port }, ca.material, nobody)).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringContaining('agentListen'),
  });
});
