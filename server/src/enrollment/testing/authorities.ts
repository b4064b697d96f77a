import 'reflect-metadata';
import { createHash, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { readSigner } from '../authority/signer.ts';
import { privateKeyPem } from '../x509.ts';

const DAY_MS = 86_400_000;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;

export interface TestAuthority {
  readonly caPem: string;
  readonly keyPem: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly certificate: x509.X509Certificate;
}

/** As Go makes it since 1.25 (RFC 7093), and with it cert-manager: not the one that follows from the key by RFC 5280. */
async function keyIdentifier(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('spki', key);
  return createHash('sha256').update(new Uint8Array(der)).digest('hex').slice(0, 40);
}

export interface AuthorityOptions {
  /** Who signs it; undefined: it signs itself. */
  readonly by?: TestAuthority;
  /** undefined: new ones. */
  readonly keys?: webcrypto.CryptoKeyPair;
  /** false: not an authority at all. */
  readonly isAuthority?: boolean;
  readonly pathLength?: number;
  readonly more?: readonly x509.Extension[];
}

/** Valid from a day before the time given for 300 days after it. With RSA in its name it has a key of that kind. */
export async function makeAuthority(
  name: string,
  startMs: number,
  { by, keys, isAuthority = true, pathLength, more = [] }: AuthorityOptions = {},
): Promise<TestAuthority> {
  const algorithm = name.includes('RSA') ? RSA : EC;
  const own = keys ?? (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']));
  const signingKey = by?.keys.privateKey ?? own.privateKey;
  // In the encoding that Go takes for plain names.
  const subject = new x509.Name([{ CN: [{ printableString: name }] }]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: by?.certificate.subjectName ?? subject,
    notBefore: new Date(startMs - DAY_MS),
    notAfter: new Date(startMs + 300 * DAY_MS),
    signingAlgorithm: { ...signingKey.algorithm, name: signingKey.algorithm.name, hash: 'SHA-256' },
    publicKey: own.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(isAuthority, pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.SubjectKeyIdentifierExtension(await keyIdentifier(own.publicKey)),
      ...more,
    ],
  });
  const caPem = `${certificate.toString('pem').trimEnd()}\n`;
  return { caPem, keyPem: await privateKeyPem(own.privateKey), keys: own, certificate };
}

/** A root (RSA, as companies have them) with an authority below it, and one that signed itself, also after renewals with the same key. */
export async function givenAuthority(startMs: number) {
  const root = await makeAuthority('Company Root RSA', startMs);
  const below = await makeAuthority('Openline CA of the company', startMs, { by: root });
  const besides = await makeAuthority('Openline CA of the company, renewed', startMs, { by: root });
  const alone = await makeAuthority('cert-manager', startMs);
  const again = await makeAuthority('cert-manager', startMs + DAY_MS, { keys: alone.keys });
  const other = await makeAuthority('Its new name', startMs + DAY_MS, { keys: alone.keys });
  const signerOf = ({ caPem, keyPem }: TestAuthority, rootsPem = '') =>
    readSigner({ certificatesPem: caPem, keyPem, rootsPem });
  return {
    intermediate: await signerOf(below, root.caPem),
    replacement: await signerOf(besides, root.caPem),
    selfSigned: await signerOf(alone),
    renewed: await signerOf(again),
    renamed: await signerOf(other),
    root: { ...root, signer: await signerOf(root) },
  };
}
