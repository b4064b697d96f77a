import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';
import { writeFileAtomic } from '../files.ts';
import type { StateStore } from '../state/state.ts';
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

export interface CertificateAuthorityDeps {
  readonly state: StateStore;
  now(): Date;
}

export interface CertificateAuthorityConfig {
  readonly dataDir: string;
  readonly agentCertificateTtlMs: number;
}

/** Relative to the data directory: for who needs to know the authority, and only that. */
export const CA_FILE = 'ca/ca.pem';
const CA_TTL_MS = 10 * 365 * 86_400_000;
/** Renewed at half of it while the server runs, so nobody ever has to think of it. */
const SERVER_TTL_MS = 30 * 86_400_000;

/** What the state holds of it. */
const Document = z.object({
  /** Part of every name that is in a certificate: it stays when the authority changes. */
  trustDomain: z.string(),
  own: z.object({ certificatePem: z.string(), keyPem: z.string() }),
});
type Document = z.infer<typeof Document>;

/**
 * Opens the authority that the state holds, or makes it at the first start.
 * @throws OpenlineError STATE_UNAVAILABLE, also when what it holds cannot be used
 */
export async function openCertificateAuthority(
  { state, now }: CertificateAuthorityDeps,
  { dataDir, agentCertificateTtlMs }: CertificateAuthorityConfig,
): Promise<CertificateAuthority> {
  const text = await state.update(
    'authority',
    async (kept) => kept ?? JSON.stringify(ofOlderBuild(dataDir) ?? (await create(now())), undefined, 2),
  );
  const { trustDomain, own } = readDocument(text);
  const caPem = own.certificatePem;
  const issuer = await load(own);
  mkdirSync(join(dataDir, CA_FILE, '..'), { recursive: true, mode: 0o700 });
  writeFileAtomic(join(dataDir, CA_FILE), caPem, 0o644);
  for (const file of OLD_FILES) rmSync(join(dataDir, file), { force: true });
  let identity: Awaited<ReturnType<CertificateAuthority['serverIdentity']>> | undefined;

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
      if (identity !== undefined && isCurrent(identity.certificatePem, names, now())) return identity;
      const keys = await generateKeys();
      const { certificatePem, notAfter } = await issue(
        issuer,
        { publicKey: keys.publicKey, commonName: 'openline-server', usage: 'server', names: names.map(dnsOrAddress) },
        now(),
        SERVER_TTL_MS,
      );
      identity = { certificatePem, keyPem: await privateKeyPem(keys.privateKey), notAfter };
      return identity;
    },
  };
}

async function create(now: Date): Promise<Document> {
  const keys = await generateKeys();
  const trustDomain = `${randomBytes(5).toString('hex')}.openline`;
  const certificatePem = await selfSigned(keys, trustDomain, now, CA_TTL_MS);
  return { trustDomain, own: { certificatePem, keyPem: await privateKeyPem(keys.privateKey) } };
}

const OLD_FILES = ['ca/ca.key', 'ca/server.pem'];

/** Builds before this one kept certificate and key in files of their own. */
function ofOlderBuild(dataDir: string): Document | undefined {
  const keyFile = join(dataDir, 'ca/ca.key');
  if (!existsSync(keyFile)) return undefined;
  const own = { certificatePem: readFileSync(join(dataDir, CA_FILE), 'utf8'), keyPem: readFileSync(keyFile, 'utf8') };
  const name = new X509Certificate(own.certificatePem).subjectAltName ?? '';
  return { trustDomain: /URI:spiffe:\/\/([a-z0-9._-]+)/.exec(name)?.[1] ?? 'openline', own };
}

function readDocument(text: string): Document {
  try {
    return Document.parse(JSON.parse(text));
  } catch (cause) {
    throw unusable('it cannot be read', cause);
  }
}

async function load({ certificatePem, keyPem }: Document['own']): Promise<Issuer> {
  try {
    if (!new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem)))
      throw new Error('the key is not that of the certificate');
    return { certificate: parseCertificate(certificatePem), privateKey: await importPrivateKey(keyPem) };
  } catch (cause) {
    throw unusable(cause instanceof Error ? cause.message : 'unknown', cause);
  }
}

function unusable(why: string, cause: unknown): OpenlineError {
  return new OpenlineError('STATE_UNAVAILABLE', `the certificate authority cannot be used: ${why}`, { cause });
}

function isCurrent(certificatePem: string, names: readonly string[], now: Date): boolean {
  const certificate = new X509Certificate(certificatePem);
  const halfLife = (certificate.validFromDate.getTime() + certificate.validToDate.getTime()) / 2;
  if (now.getTime() > halfLife || now < certificate.validFromDate) return false;
  const has = (name: string) =>
    dnsOrAddress(name).type === 'ip' ? certificate.checkIP(name) : certificate.checkHost(name, { wildcards: false });
  const count = (certificate.subjectAltName ?? '').split(', ').length;
  return count === names.length && names.every((name) => has(name) !== undefined);
}
