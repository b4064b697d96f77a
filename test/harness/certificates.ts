import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import type { TestServer } from './server.ts';

x509.cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;

/** An agent's files, as it keeps them. */
export interface AgentIdentity {
  readonly agentId: string;
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caPem: string;
  readonly certificateFile: string;
}

export async function readIdentity(agentDataDir: string): Promise<AgentIdentity> {
  const dir = join(agentDataDir, 'identity');
  const manifest: Record<string, string> = JSON.parse(await readFile(join(dir, 'agent.json'), 'utf8'));
  const file = (name: string): Promise<string> => readFile(join(dir, manifest[name] ?? ''), 'utf8');
  return {
    agentId: manifest['agentId'] ?? '',
    keyPem: await file('keyFile'),
    certificatePem: await file('certificateFile'),
    caPem: await file('caFile'),
    certificateFile: join(dir, manifest['certificateFile'] ?? ''),
  };
}

export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
}

/** The server's own authority: the test may sign what the server would not. */
export async function authorityOf(server: TestServer): Promise<Authority> {
  const { ownKeyPem, signing } = JSON.parse(await readFile(join(server.dataDir, 'ca/authority.json'), 'utf8'));
  const [der] = x509.PemConverter.decode(ownKeyPem);
  if (der === undefined) throw new Error('the CA has no key');
  return {
    certificate: new x509.X509Certificate(signing.rootsPem),
    privateKey: await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']),
  };
}

/** Somebody else's authority with the same names. */
export async function foreignAuthority(like: Authority): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: like.certificate.subject,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + HOUR_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return { certificate, privateKey: keys.privateKey };
}

/** Signs the agent's key anew, as it would be signed with these dates. @returns PEM */
export async function certify(
  authority: Authority,
  identity: AgentIdentity,
  { notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date },
): Promise<string> {
  const now = new x509.X509Certificate(identity.certificatePem);
  const names = now.getExtension(x509.SubjectAlternativeNameExtension);
  if (names === null) throw new Error('the certificate names nobody');
  const spki = createPublicKey(createPrivateKey(identity.keyPem)).export({ type: 'spki', format: 'der' });
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '02',
    subject: now.subject,
    issuer: authority.certificate.subject,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: new x509.PublicKey(new Uint8Array(spki)),
    signingKey: authority.privateKey,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      names,
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** Of a server that whoever is given the certificate trusts. @param address an IP address @returns PEM */
export async function selfSigned(address: string): Promise<{ readonly key: string; readonly cert: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${address}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + HOUR_MS),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: address }])],
  });
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { key: x509.PemConverter.encode(der, 'PRIVATE KEY'), cert: cert.toString('pem') };
}
