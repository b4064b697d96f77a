import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openCertificateAuthority } from '../../enrollment/certificate-authority.ts';
import { createFileStateStore } from '../../state/file-store.ts';
import { listenTls } from './tls-listener.ts';

async function authority() {
  const dataDir = mkdtempSync(join(tmpdir(), 'openline-port-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const deps = { state: createFileStateStore(dataDir), now: () => new Date() };
  return openCertificateAuthority(deps, {
    dataDir,
    agentCertificateTtlMs: 60_000,
    advertise: ['localhost'],
    overlapMs: 0,
    longestLifeMs: 60_000,
  });
}

it('an agents’ port that another program has is named, as the key that sets it', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;

  const ca = await authority();
  const nobody = { trustDomain: ca.trustDomain, maxConnections: 1, onConnection: () => {}, onHandshake: () => {} };
  await expect(listenTls({ host: '127.0.0.1', port }, ca.material, nobody)).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringContaining('agentListen'),
  });
});

it('a connection beyond the bound is closed and told of, and those that are open stay', async () => {
  const ca = await authority();
  const told: string[] = [];
  const listener = await listenTls({ host: '127.0.0.1', port: 0 }, ca.material, {
    trustDomain: ca.trustDomain,
    maxConnections: 1,
    onConnection: () => {},
    onHandshake: (outcome, _, why) => told.push(`${outcome}: ${why}`),
  });
  onTestFinished(() => {
    listener.stopAccepting();
    listener.destroyAll();
  });
  const first = connect(listener.port, '127.0.0.1');
  await once(first, 'connect');
  const second = connect(listener.port, '127.0.0.1').on('error', () => {});
  await once(second, 'close');
  expect(told).toEqual(['failed: there are 1 connections already']);
  expect(first.readyState).toBe('open');
});
