import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Issuer, importSigningKey, parseCertificate, spkiHashOf } from '../x509.ts';
import { certificatesIn, type PublicAuthority } from './rotation.ts';

/** An authority with its key. */
export interface Signer {
  readonly authority: PublicAuthority;
  readonly issuer: Issuer;
}

/** Texts of PEM, as cert-manager and Secrets of the type kubernetes.io/tls have them. */
export interface SignerFiles {
  /** tls.crt: the certificate of the key first; others may lead to a root. */
  readonly certificatesPem: string;
  /** tls.key */
  readonly keyPem: string;
  /** ca.crt: more that leads to a root, if anything. */
  readonly rootsPem: string;
}

/** @throws Error its message says what does not fit; never anything of the key */
export async function readSigner({ certificatesPem, keyPem, rootsPem }: SignerFiles): Promise<Signer> {
  const [certificate, ...above] = read(certificatesPem, 'tls.crt');
  if (certificate === undefined) throw new Error('there is no certificate in tls.crt');
  if (!certificate.ca)
    throw new Error(
      'the certificate in tls.crt is not that of an authority: it must have CA:TRUE, and may sign certificates (cert-manager: `isCA: true`)',
    );
  const key = readKey(keyPem);
  if (!certificate.checkPrivateKey(key)) throw new Error('the key is not that of the certificate');

  // First what peers are likely to know already: roots.
  const others = [...read(rootsPem, 'ca.crt'), ...above];
  const below: X509Certificate[] = [];
  let top = certificate;
  while (!isRoot(top)) {
    below.push(top);
    const parent = others.find((one) => isSignedBy(top, one) && !below.includes(one));
    if (parent === undefined)
      throw new Error(
        `it leads to no root: add the certificate of «${oneLine(top.issuer)}», and what leads from there to one that signed itself, to ca.crt (cert-manager’s CA issuer: to ca.crt of the issuer’s own Secret)`,
      );
    top = parent;
  }
  const last = below.at(-1);
  // A root that was renewed with its key is there twice.
  const roots = last === undefined ? [top] : others.filter((one) => isRoot(one) && isSignedBy(last, one));
  return {
    authority: { hash: spkiHashOf(certificate).toString('hex'), chainPem: pemOf(below), rootsPem: pemOf(roots) },
    issuer: { certificate: parseCertificate(certificate.toString()), ...(await importSigningKey(key)) },
  };
}

function isRoot(one: X509Certificate): boolean {
  return isSignedBy(one, one);
}

function isSignedBy(one: X509Certificate, parent: X509Certificate): boolean {
  return one.checkIssued(parent) && one.verify(parent.publicKey);
}

function read(pem: string, what: string): X509Certificate[] {
  try {
    return certificatesIn(pem).map((one) => new X509Certificate(one));
  } catch (cause) {
    throw new Error(`${what} cannot be read`, { cause });
  }
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the key cannot be read: it must be PEM, without a password');
  }
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return [...new Set(certificates.map((one) => `${one.toString().trimEnd()}\n`))].join('');
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
