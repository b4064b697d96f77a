// The library decorates its classes with it, so it must be loaded before.
import 'reflect-metadata';
import { createHash, type KeyObject, randomBytes, webcrypto, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { OpenlineError } from '@openline/proto/errors';
import * as x509 from '@peculiar/x509';

/** Certificates of our own authority. ECDSA on P-256 throughout: 1 ms of server time per handshake. */
export const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Clocks that are wrong are wrong by an hour more often than by anything else: a time zone, or the end of summer. */
const MOST_SKEW_MS = 65 * 60_000;
const MAX_CSR_BYTES = 8 * 1024;

x509.cryptoProvider.set(webcrypto);

/** The common name in the server's certificate, which nobody checks. */
export const SERVER_NAME = 'openline-server';

export type KeyPair = webcrypto.CryptoKeyPair;

/**
 * Machines whose clocks are behind ours accept a new certificate at once, and so do we after our own clock was put back. Not so early that a
 * certificate is past half of its life, when it is renewed, much sooner than half of its time has gone.
 */
function validFrom(now: Date, ttlMs: number): Date {
  return new Date(now.getTime() - Math.min(MOST_SKEW_MS, ttlMs / 4));
}

export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
  /** That it signs with. */
  readonly algorithm: SigningAlgorithm;
}

type SigningAlgorithm = { readonly name: string; readonly hash: string; readonly namedCurve?: string };
const EC_ALGORITHMS: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: ALGORITHM,
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
};
const RSA_ALGORITHM: SigningAlgorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
const LEAST_RSA_BITS = 2048;

export function generateKeys(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

export async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

/** @throws Error it is of a kind that we do not sign with */
export async function importSigningKey(
  key: KeyObject,
): Promise<{ privateKey: webcrypto.CryptoKey; algorithm: SigningAlgorithm }> {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const algorithm =
    key.asymmetricKeyType === 'ec'
      ? EC_ALGORITHMS[namedCurve]
      : key.asymmetricKeyType === 'rsa' && modulusLength >= LEAST_RSA_BITS
        ? RSA_ALGORITHM
        : undefined;
  if (algorithm === undefined)
    throw new Error(`the key must be ECDSA on P-256 or P-384, or RSA of ${LEAST_RSA_BITS} bits or more`);
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return { privateKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']), algorithm };
}

export function parseCertificate(pem: string): x509.X509Certificate {
  return new x509.X509Certificate(pem);
}

export function spkiHash(spkiDer: ArrayBuffer | Uint8Array): Buffer {
  return createHash('sha256').update(new Uint8Array(spkiDer)).digest();
}

/** Of the key of a certificate. */
export function spkiHashOf(certificate: X509Certificate): Buffer {
  return spkiHash(certificate.publicKey.export({ type: 'spki', format: 'der' }));
}

export async function selfSigned(keys: KeyPair, trustDomain: string, now: Date, ttlMs: number): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: ['Openline CA'] }, { O: [trustDomain] }],
    notBefore: validFrom(now, ttlMs),
    notAfter: new Date(now.getTime() + ttlMs),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      // Signs leaves only.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
    ],
  });
  return pemOf(certificate);
}

export interface Leaf {
  readonly publicKey: x509.PublicKey | webcrypto.CryptoKey;
  readonly commonName: string;
  readonly usage: 'client' | 'server';
  readonly names: readonly { type: 'url' | 'dns' | 'ip'; value: string }[];
}

export async function issue(
  { certificate: ca, privateKey, algorithm }: Issuer,
  { publicKey, commonName, usage, names }: Leaf,
  now: Date,
  ttlMs: number,
): Promise<{ certificatePem: string; notAfter: Date }> {
  const usages = { client: x509.ExtendedKeyUsage.clientAuth, server: x509.ExtendedKeyUsage.serverAuth } as const;
  const notAfter = new Date(Math.min(now.getTime() + ttlMs, ca.notAfter.getTime()));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [commonName] }],
    // Not as text, which would be encoded anew: names are compared byte by byte.
    issuer: ca.subjectName,
    notBefore: validFrom(now, ttlMs),
    notAfter,
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usages[usage]]),
      new x509.SubjectAlternativeNameExtension([...names]),
      // With it, one that has the name of its authority is not taken for one that signed itself.
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await issuerKeyIdentifier(ca),
    ],
  });
  return { certificatePem: pemOf(certificate), notAfter: certificate.notAfter };
}

/** As the authority calls its key: each maker of certificates has its own way, and OpenSSL takes another identifier for another issuer. */
async function issuerKeyIdentifier(ca: x509.X509Certificate): Promise<x509.AuthorityKeyIdentifierExtension> {
  const own = ca.getExtension(x509.SubjectKeyIdentifierExtension);
  if (own === null) return await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey);
  return new x509.AuthorityKeyIdentifierExtension(own.keyId);
}

/**
 * The key of a certificate request whose own signature proves that the sender has it. All else in it is the sender's wish only.
 * @throws OpenlineError REQUEST_INVALID
 */
export async function keyOfRequest(csrDer: Uint8Array): Promise<x509.PublicKey> {
  if (csrDer.length > MAX_CSR_BYTES) throw invalid('is too large');
  let request: x509.Pkcs10CertificateRequest;
  let genuine = false;
  try {
    request = new x509.Pkcs10CertificateRequest(Buffer.from(csrDer));
    const { name, namedCurve } = { namedCurve: '', ...request.publicKey.algorithm };
    if (name !== 'ECDSA' || namedCurve !== 'P-256') throw invalid('must be for an ECDSA key on P-256');
    genuine = await request.verify();
  } catch (error) {
    if (error instanceof OpenlineError) throw error;
    throw invalid('cannot be read');
  }
  if (!genuine) throw invalid('is not signed with its own key');
  return request.publicKey;
}

const invalid = (what: string) => new OpenlineError('REQUEST_INVALID', `the certificate request ${what}`);

export function dnsOrAddress(name: string): { type: 'dns' | 'ip'; value: string } {
  return isIP(name) === 0 ? { type: 'dns', value: name } : { type: 'ip', value: name };
}

/** 127 random bits: positive in DER. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
