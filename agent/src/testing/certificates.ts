import 'reflect-metadata';
import { createHash, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface Issued {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** A certificate authority for one test. */
export interface TestAuthority {
  readonly caPem: string;
  readonly caHash: string;
  /** For `localhost` and 127.0.0.1, unless named otherwise. */
  serverIdentity(host?: string): Promise<Issued>;
  agentIdentity(validMs?: number): Promise<Issued>;
  sign(csrDer: Uint8Array, validMs?: number): Promise<string>;
}

export async function testAuthority(): Promise<TestAuthority> {
  const caKeys = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test CA',
    keys: caKeys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 10 * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const issue = async (publicKey: x509.PublicKeyType, usage: x509.ExtendedKeyUsage, host: string, validMs: number) => {
    const certificate = await x509.X509CertificateGenerator.create({
      subject: 'CN=test',
      issuer: ca.subject,
      publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      notBefore: new Date(Date.now() - Math.min(validMs, DAY_MS)),
      notAfter: new Date(Date.now() + validMs),
      extensions: [
        new x509.ExtendedKeyUsageExtension([usage]),
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: host },
          ...(host === 'localhost' ? [{ type: 'ip' as const, value: '127.0.0.1' }] : []),
        ]),
      ],
    });
    return certificate.toString('pem');
  };
  const caPem = ca.toString('pem');
  const pair = async (usage: x509.ExtendedKeyUsage, host: string, validMs: number): Promise<Issued> => {
    const keys = await newKeys();
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return {
      certificatePem: await issue(keys.publicKey, usage, host, validMs),
      keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    };
  };
  return {
    caPem,
    caHash: `sha256:${createHash('sha256').update(Buffer.from(ca.publicKey.rawData)).digest('hex')}`,
    async serverIdentity(host = 'localhost') {
      const { certificatePem, keyPem } = await pair(x509.ExtendedKeyUsage.serverAuth, host, DAY_MS);
      // With its CA, so that an agent that knows only the hash can find it.
      return { certificatePem: `${certificatePem}\n${caPem}\n`, keyPem };
    },
    agentIdentity: (validMs = DAY_MS) => pair(x509.ExtendedKeyUsage.clientAuth, 'agent', validMs),
    async sign(csrDer, validMs = DAY_MS) {
      const request = new x509.Pkcs10CertificateRequest(Uint8Array.from(csrDer));
      if (!(await request.verify())) throw new Error('the request is not signed by its own key');
      return issue(request.publicKey, x509.ExtendedKeyUsage.clientAuth, 'agent', validMs);
    },
  };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}
