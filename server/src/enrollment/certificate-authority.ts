import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { syncDirectory, writeFileAtomic } from '../files.ts';
import type { CertificateAuthority } from './enrollment.ts';
import {
  dnsOrAddress,
  generateKeys,
  type Issuer,
  importPrivateKey,
  issue,
  keyOfRequest,
  parseCertificate,
  privateKeyPem,
  selfSigned,
  spkiHash,
} from './x509.ts';

export interface CertificateAuthorityConfig {
  readonly dataDir: string;
  readonly agentCertificateTtlMs: number;
}

/** Relative to the data directory. */
export const CA_FILE = 'ca/ca.pem';
const CA_TTL_MS = 10 * 365 * 86_400_000;
/** Renewed at half of it while the server runs, so nobody ever has to think of it. */
const SERVER_TTL_MS = 30 * 86_400_000;

/**
 * Opens the authority in `<dataDir>/ca`, or makes it at the first start. One that somebody put there (ca.pem, ca.key in PKCS#8; ECDSA on
 * P-256) is used as it is.
 * @throws OpenlineError DATA_DIR_UNUSABLE its files cannot be read, or do not belong together
 */
export async function openCertificateAuthority(
  { dataDir, agentCertificateTtlMs }: CertificateAuthorityConfig,
  { now }: { now(): Date },
): Promise<CertificateAuthority> {
  const directory = join(dataDir, 'ca');
  if (!existsSync(directory)) await create(directory, now());
  const caPem = readFileSync(join(directory, 'ca.pem'), 'utf8');
  const { issuer, trustDomain } = await load(directory, caPem);

  return {
    caPem,
    caHash: `sha256:${spkiHash(issuer.certificate.publicKey.rawData).toString('hex')}`,
    trustDomain,

    async issueForAgent(csrDer, agentId, ttlMs = agentCertificateTtlMs) {
      const publicKey = await keyOfRequest(csrDer);
      const names = [{ type: 'url' as const, value: `spiffe://${trustDomain}/agent/${agentId}` }];
      const leaf = { publicKey, commonName: agentId, usage: 'client' as const, names };
      return issue(issuer, leaf, now(), ttlMs);
    },

    async serverIdentity(names) {
      const file = join(directory, 'server.pem');
      const kept = readIdentity(file);
      if (kept !== undefined && isCurrent(kept.certificate, caPem, names, now())) return kept.identity;
      const keys = await generateKeys();
      const { certificatePem, notAfter } = await issue(
        issuer,
        { publicKey: keys.publicKey, commonName: 'openline-server', usage: 'server', names: names.map(dnsOrAddress) },
        now(),
        SERVER_TTL_MS,
      );
      const keyPem = await privateKeyPem(keys.privateKey);
      writeFileAtomic(file, certificatePem + keyPem);
      return { certificatePem, keyPem, notAfter };
    },
  };
}

/** In a folder beside, moved into place whole: a crash in between leaves no authority without its key. */
async function create(directory: string, now: Date): Promise<void> {
  const half = `${directory}.new-${process.pid}`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true, mode: 0o700 });
  const keys = await generateKeys();
  const trustDomain = `${randomBytes(5).toString('hex')}.openline`;
  writeFileAtomic(join(half, 'ca.key'), await privateKeyPem(keys.privateKey));
  writeFileAtomic(join(half, 'ca.pem'), await selfSigned(keys, trustDomain, now, CA_TTL_MS), 0o644);
  renameSync(half, directory);
  syncDirectory(join(directory, '..'));
}

async function load(directory: string, caPem: string): Promise<{ issuer: Issuer; trustDomain: string }> {
  try {
    const keyPem = readFileSync(join(directory, 'ca.key'), 'utf8');
    const certificate = new X509Certificate(caPem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem)))
      throw new Error('the key is not that of the certificate');
    const trustDomain = /URI:spiffe:\/\/([a-z0-9._-]+)/.exec(certificate.subjectAltName ?? '')?.[1] ?? 'openline';
    const issuer = { certificate: parseCertificate(caPem), privateKey: await importPrivateKey(keyPem) };
    return { issuer, trustDomain };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new OpenlineError(
      'DATA_DIR_UNUSABLE',
      `the certificate authority in ${directory} cannot be used: ${reason}`,
      {
        cause,
      },
    );
  }
}

function readIdentity(file: string) {
  if (!existsSync(file)) return undefined;
  const pem = readFileSync(file, 'utf8');
  const keyAt = pem.indexOf('-----BEGIN PRIVATE KEY-----');
  const [certificatePem, keyPem] = [pem.slice(0, keyAt), pem.slice(keyAt)];
  try {
    const certificate = new X509Certificate(certificatePem);
    return { certificate, identity: { certificatePem, keyPem, notAfter: certificate.validToDate } };
  } catch {
    // Damaged: a new one costs nothing.
    return undefined;
  }
}

function isCurrent(certificate: X509Certificate, caPem: string, names: readonly string[], now: Date): boolean {
  const halfLife = (certificate.validFromDate.getTime() + certificate.validToDate.getTime()) / 2;
  if (now.getTime() > halfLife || now < certificate.validFromDate) return false;
  if (!certificate.verify(new X509Certificate(caPem).publicKey)) return false;
  const has = (name: string) =>
    dnsOrAddress(name).type === 'ip' ? certificate.checkIP(name) : certificate.checkHost(name, { wildcards: false });
  const count = (certificate.subjectAltName ?? '').split(', ').length;
  return count === names.length && names.every((name) => has(name) !== undefined);
}
