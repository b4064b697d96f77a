import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChannelCredentials, Client, Metadata, type StatusObject, status } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { expect, it, onTestFinished } from 'vitest';
import { openCertificateAuthority } from '../../enrollment/certificate-authority.ts';
import { ALGORITHM, generateKeys, privateKeyPem } from '../../enrollment/x509.ts';
import { createFileStateStore } from '../../state/file-store.ts';
import type { AgentSession } from '../agent-session.ts';
import { startLinkServer } from './link-server.ts';

const raw = (bytes: Buffer): Buffer => bytes;
const nothing = () => {};

it('an agent whose message makes the server fail loses its stream, and nobody else does', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'openline-link-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const ca = await openCertificateAuthority(
    { state: createFileStateStore(dataDir), now: () => new Date() },
    { dataDir, agentCertificateTtlMs: 60_000, advertise: ['localhost'], overlapMs: 0, longestLifeMs: 60_000 },
  );
  const received: string[] = [];
  const ended: string[] = [];
  const logged: object[] = [];
  const link = await startLinkServer(
    {
      enrollment: { enrollWithToken: never, enrollNode: never, renew: never },
      packs: { byDigest: () => undefined },
      attach: ({ agentId }) =>
        ({
          receive(bytes: Buffer) {
            received.push(`${agentId}: ${bytes}`);
            if (agentId === 'bad') throw new Error('nobody foresaw this');
          },
          streamEnded: () => void ended.push(agentId),
        }) as unknown as AgentSession,
      isConnected: () => true,
      log: { info: nothing, warn: nothing, error: (details) => void logged.push(details) },
      trustDomain: ca.trustDomain,
      maxAgents: 10,
      caPem: () => ca.caPem,
      trustedPackKeys: () => [],
      onHandshake: nothing,
      onRefused: nothing,
    },
    { host: '127.0.0.1', port: 0 },
    ca.material,
  );
  onTestFinished(() => link.stop());

  async function connect(agentId: string) {
    const keys = await generateKeys();
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: ALGORITHM });
    const { certificatePem } = await ca.issueForAgent(new Uint8Array(csr.rawData), agentId);
    const pem = [ca.caPem, await privateKeyPem(keys.privateKey), certificatePem].map((text) => Buffer.from(text));
    const client = new Client(
      `localhost:${link.port}`,
      ChannelCredentials.createSsl(...(pem as [Buffer, Buffer, Buffer])),
    );
    onTestFinished(() => client.close());
    const call = client.makeBidiStreamRequest('/openline.agent.v1.AgentService/Connect', raw, raw, new Metadata());
    call.on('error', nothing).resume();
    const over = new Promise<StatusObject>((resolve) => call.on('status', resolve));
    return { over, say: (text: string) => void call.write(Buffer.from(text)) };
  }
  const [good, bad] = [await connect('good'), await connect('bad')];
  bad.say('boom');
  expect((await bad.over).code).toBe(status.INTERNAL);
  expect(new Set(ended)).toEqual(new Set(['bad']));
  expect(logged).toEqual([expect.objectContaining({ error: expect.stringContaining('nobody foresaw this') })]);
  good.say('still there');
  await expect.poll(() => received).toContain('good: still there');
});

function never(): Promise<never> {
  throw new Error('nobody enrols here');
}
