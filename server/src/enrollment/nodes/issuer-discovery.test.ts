import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { expect, it, onTestFinished, vi } from 'vitest';
import { readSigner } from '../authority/signer.ts';
import { makeAuthority } from '../testing/authorities.ts';
import { generateKeys, issue, privateKeyPem } from '../x509.ts';
import { createIssuerAttestor } from './issuer-keys.ts';

const ACCOUNT = 'openline:openline-agent';
const CLAIMS = {
  'kubernetes.io': {
    namespace: 'openline',
    serviceaccount: { name: 'openline-agent', uid: 's' },
    pod: { name: 'agent-y', uid: 'p' },
    node: { name: 'worker-9', uid: 'u-9' },
  },
};

/** An issuer as an API server is one: discovery and keys over HTTPS. */
async function issuerOnHttps() {
  const { caPem, keyPem } = await makeAuthority('Test root', Date.now());
  const { issuer: signer } = await readSigner({ certificatesPem: caPem, keyPem, rootsPem: '' });
  const { publicKey, privateKey } = await generateKeys();
  const names = [{ type: 'dns' as const, value: 'localhost' }];
  const leaf = { publicKey, commonName: 'localhost', usage: 'server' as const, names };
  const { certificatePem } = await issue(signer, leaf, new Date(), 3_600_000);
  const keys = new Map<
    string,
    { jwk: object; sign: Awaited<ReturnType<typeof generateKeyPair>>['privateKey']; alg: string }
  >();
  const asked: string[] = [];
  let saysItIs = '';
  const server = createServer({ cert: certificatePem, key: await privateKeyPem(privateKey) }, (request, response) => {
    asked.push(request.url ?? '');
    const answer =
      request.url === '/keys'
        ? { keys: [...keys.values()].map(({ jwk }) => jwk) }
        : { issuer: saysItIs, jwks_uri: `${base}/keys` };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  }).listen(0);
  await once(server, 'listening');
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, caPem]);
  onTestFinished(() => {
    setDefaultCACertificates(before);
    server.closeAllConnections();
    server.close();
  });
  const base = `https://localhost:${(server.address() as AddressInfo).port}`;
  saysItIs = base;
  return {
    base,
    asked,
    isCalled: (name: string) => {
      saysItIs = name;
    },
    async addKey(kid: string, alg: 'RS256' | 'ES256') {
      const pair = await generateKeyPair(alg, { extractable: true });
      keys.set(kid, { jwk: { ...(await exportJWK(pair.publicKey)), kid, alg }, sign: pair.privateKey, alg });
    },
    removeKey: (kid: string) => keys.delete(kid),
    sign(kid: string, more: JWTPayload = {}, { audience = 'openline', expires = '10m', issuer = base } = {}) {
      const key = keys.get(kid);
      if (key === undefined) throw new Error('no such key');
      return new SignJWT({ ...CLAIMS, ...more })
        .setProtectedHeader({ alg: key.alg, kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime(expires)
        .sign(key.sign);
    },
    attestor: () =>
      createIssuerAttestor({
        name: 'edge',
        issuer: base,
        audience: 'openline',
        accounts: [ACCOUNT],
        jwksFile: undefined,
      }),
  };
}

it('tokens of another cluster are checked with the keys that its issuer shows, RSA and elliptic, also after these have changed', async () => {
  const issuer = await issuerOnHttps();
  await issuer.addKey('rsa', 'RS256');
  await issuer.addKey('ec', 'ES256');
  const attestor = issuer.attestor();
  const node = { cluster: 'edge', nodeName: 'worker-9', nodeUid: 'u-9', account: ACCOUNT, pod: 'agent-y' };
  expect(await attestor.attest(await issuer.sign('rsa'))).toEqual(node);
  expect(await attestor.attest(await issuer.sign('ec'))).toEqual(node);
  expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/keys']);

  const old = await issuer.sign('rsa');
  issuer.removeKey('rsa');
  await issuer.addKey('next', 'RS256');
  // Not asked more than twice a minute, whatever tokens come.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 });
  onTestFinished(() => void vi.useRealTimers());
  expect(await attestor.attest(await issuer.sign('next'))).toEqual(node);
  await expect(attestor.attest(old)).rejects.toMatchObject({ code: 'NODE_NOT_ATTESTED' });
});

it('a token for somebody else, of another issuer or account, or past its time, proves nothing', async () => {
  const issuer = await issuerOnHttps();
  await issuer.addKey('k', 'ES256');
  const attestor = issuer.attestor();
  const other = { ...CLAIMS['kubernetes.io'], serviceaccount: { name: 'default', uid: 'x' } };
  const tokens = [
    await issuer.sign('k', {}, { audience: 'vault' }),
    await issuer.sign('k', {}, { issuer: 'https://elsewhere.example' }),
    await issuer.sign('k', {}, { expires: '-10m' }),
    await issuer.sign('k', { 'kubernetes.io': other }),
  ];
  for (const token of tokens) await expect(attestor.attest(token)).rejects.toMatchObject({ code: 'NODE_NOT_ATTESTED' });
});

it('an issuer that calls itself something else is not believed, and is asked again', async () => {
  const issuer = await issuerOnHttps();
  await issuer.addKey('k', 'ES256');
  issuer.isCalled('https://elsewhere.example');
  const attestor = issuer.attestor();
  await expect(attestor.attest(await issuer.sign('k'))).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' });
  issuer.isCalled(issuer.base);
  await attestor.attest(await issuer.sign('k'));
});
