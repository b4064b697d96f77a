import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Issuer, importSigningKey, parseCertificate, spkiHashOf } from '../x509.ts';
import { certificatesIn, type PublicAuthority } from './rotation.ts';

/** An authority with its key. */
export interface Signer {
  readonly authority: PublicAuthority;
  readonly issuer: Issuer;
}

export interface SignerFiles {
  /** The certificate of the key first, then what leads to a root. */
  readonly certificatesPem: string;
  readonly keyPem: string;
  /** undefined: the chain must end in a certificate that signed itself. */
  readonly rootsPem: string | undefined;
}

/** @throws Error its message says what does not fit; never anything of the key */
export async function readSigner({ certificatesPem, keyPem, rootsPem }: SignerFiles): Promise<Signer> {
  const [certificate, ...above] = read(certificatesPem, 'the certificate');
  if (certificate === undefined) throw new Error('there is no certificate');
  if (!certificate.ca) throw new Error('the certificate is not that of an authority (CA:TRUE is missing)');
  const key = readKey(keyPem);
  if (!certificate.checkPrivateKey(key)) throw new Error('the key is not that of the certificate');

  const chain = [certificate, ...above];
  const isRoot = (one: X509Certificate) => one.checkIssued(one) && one.verify(one.publicKey);
  const roots = rootsPem === undefined ? chain.filter(isRoot) : read(rootsPem, 'the roots').filter(isRoot);
  const below = chain.filter((one) => !isRoot(one));
  const top = below.at(-1) ?? certificate;
  const trusted = roots.filter((root) => root.fingerprint256 === top.fingerprint256 || isSignedBy(top, root));
  if (trusted.length === 0)
    throw new Error(
      'it leads to no root: ca.crt must hold the certificate that signed itself and, over those in tls.crt, this one',
    );
  below.forEach((one, i) => {
    const parent = below[i + 1];
    if (parent !== undefined && !isSignedBy(one, parent)) throw new Error('the chain is broken, or not in its order');
  });
  const pem = (ones: readonly X509Certificate[]) =>
    ones
      .map((one) => one.toString().trimEnd())
      .map((text) => `${text}\n`)
      .join('');
  return {
    authority: { hash: spkiHashOf(certificate).toString('hex'), chainPem: pem(below), rootsPem: pem(trusted) },
    issuer: { certificate: parseCertificate(certificate.toString()), ...(await importSigningKey(key)) },
  };
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
