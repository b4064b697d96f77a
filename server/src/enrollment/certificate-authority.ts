import { randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { writeFileAtomic } from '../files.ts';
import type { StateStore } from '../state/state.ts';
import {
  AuthorityDocument,
  authoritiesOf,
  bundleOf,
  certificatesIn,
  ended,
  endsOf,
  isOver,
  type PublicAuthority,
  type RotationPolicy,
  replaced,
  rootHashesIn,
} from './authority/rotation.ts';
import { readSigner, type Signer } from './authority/signer.ts';
import type { CertificateAuthority, TlsMaterial } from './enrollment.ts';
import { dnsOrAddress, generateKeys, issue, keyOfRequest, privateKeyPem, SERVER_NAME, selfSigned } from './x509.ts';

export interface CertificateAuthorityDeps {
  readonly state: StateStore;
  /** It signs; undefined: the server makes its own. */
  readonly given?: Signer | undefined;
  now(): Date;
}

export interface CertificateAuthorityConfig extends RotationPolicy {
  readonly dataDir: string;
  readonly agentCertificateTtlMs: number;
  /** DNS names and addresses of the server. */
  readonly advertise: readonly string[];
}

export interface AuthorityState {
  /** Hexadecimal. */
  readonly hash: string;
  readonly rootHashes: readonly string[];
  readonly isGiven: boolean;
  readonly expiresAt: Date;
  readonly serverExpiresAt: Date;
  readonly overlap:
    | {
        readonly since: Date;
        readonly earliestEnd: Date;
        readonly latestEnd: Date;
        readonly previousHashes: readonly string[];
        /** Who trusts those before trusts the new one. */
        readonly rootUnchanged: boolean;
      }
    | undefined;
}

/** The authority and its life. Every change is in the state before it is used. */
export interface ManagedAuthority extends CertificateAuthority {
  /** The state held none when it was opened: the first start, or the state was lost. */
  readonly isNew: boolean;
  state(): AuthorityState;
  /** Makes a new one of its own. @returns false: one replaces another already. @throws OpenlineError STATE_UNAVAILABLE */
  rotate(): Promise<boolean>;
  /** The given one signs from now on. @throws OpenlineError STATE_UNAVAILABLE */
  replace(given: Signer): Promise<void>;
  /** Those before are trusted no longer. @throws OpenlineError STATE_UNAVAILABLE */
  endOverlap(): Promise<void>;
  /**
   * What time makes of it: the overlap ends, the server's certificate is renewed at half of its life; and what another server wrote is taken up.
   * @param countBehind asked only during an overlap
   */
  refresh(countBehind: (hash: string) => Promise<number>): Promise<void>;
  onChange(listener: () => void): void;
}

/** Relative to the data directory: for who needs to know the authority, and only that. */
export const CA_FILE = 'ca/ca.pem';
const CA_TTL_MS = 10 * 365 * 86_400_000;
/** Renewed at half of it while the server runs, so nobody ever has to think of it. */
const SERVER_TTL_MS = 30 * 86_400_000;

/**
 * Opens the authority that the state holds, or makes it at the first start.
 * @throws OpenlineError STATE_UNAVAILABLE, also when what it holds cannot be used
 */
export async function openCertificateAuthority(
  { state, given, now }: CertificateAuthorityDeps,
  config: CertificateAuthorityConfig,
): Promise<ManagedAuthority> {
  const { dataDir, agentCertificateTtlMs, advertise } = config;
  const listeners: (() => void)[] = [];
  let givenSigner = given;

  let underWay: Promise<void> = Promise.resolve();
  /** One change after the other: each begins with what the one before has made. */
  function change(next: Parameters<typeof makeChange>[0]): Promise<void> {
    const done = underWay.then(() => makeChange(next));
    underWay = done.catch(() => {});
    return done;
  }

  /** Changes what the state holds, and uses what it holds then. Listeners hear of what peers see. */
  async function makeChange(
    next: (document: AuthorityDocument) => AuthorityDocument | Promise<AuthorityDocument>,
  ): Promise<void> {
    const changed = await state.update('authority', async (kept) => {
      // Where somebody took it away from a running server, that goes on with what it has, and writes it down again.
      const known = kept ?? (text === '' ? undefined : text);
      return write(await next(known === undefined ? await first() : read(known)));
    });
    if (changed === text) return;
    await use(changed);
    for (const listener of listeners) listener();
  }

  async function first(): Promise<AuthorityDocument> {
    const older = await ofOlderBuild(dataDir);
    if (older !== undefined) return older;
    isNew = true;
    return givenSigner === undefined ? create(now()) : withoutOwn(givenSigner);
  }

  /** The authority that is configured signs, and the server has a certificate. */
  async function brought(document: AuthorityDocument): Promise<AuthorityDocument> {
    const unixMs = now().getTime();
    let next = document;
    if (givenSigner !== undefined) next = replaced(document, { signing: givenSigner.authority }, unixMs);
    // It was given until now.
    else if (document.ownKeyPem === undefined)
      next = replaced(document, await create(now(), document.trustDomain), unixMs);
    return withServer(next, await signerOf(next), advertise, now());
  }

  let isNew = false;
  let text = '';
  let document: AuthorityDocument;
  let signer: Signer;
  let material: TlsMaterial;
  async function use(changed: string): Promise<void> {
    const next = read(changed);
    const nextSigner = await signerOf(next);
    const nextMaterial = materialOf(next);
    // First what can fail: a change that is taken up in part would not be tried again, and who listens would never hear of it.
    writeFileAtomic(join(dataDir, CA_FILE), nextMaterial.caPem, 0o644);
    [text, document, signer, material] = [changed, next, nextSigner, nextMaterial];
  }

  async function signerOf({ ownKeyPem, signing }: AuthorityDocument): Promise<Signer> {
    if (ownKeyPem === undefined && givenSigner !== undefined) return givenSigner;
    const certificatesPem = signing.chainPem || signing.rootsPem;
    try {
      return await readSigner({ certificatesPem, keyPem: ownKeyPem ?? '', rootsPem: signing.rootsPem });
    } catch (cause) {
      throw unusable(cause instanceof Error ? cause.message : 'unknown', cause);
    }
  }

  mkdirSync(join(dataDir, CA_FILE, '..'), { recursive: true, mode: 0o700 });
  await change(brought);
  for (const file of OLD_FILES) rmSync(join(dataDir, file), { force: true });

  return {
    get caPem() {
      return material.caPem;
    },
    get caHash() {
      return rootHashesIn(material.caPem)
        .map((hash) => `sha256:${hash}`)
        .join(',');
    },
    get trustDomain() {
      return document.trustDomain;
    },
    get material() {
      return material;
    },

    get isNew() {
      return isNew;
    },

    async issueForAgent(csrDer, agentId, ttlMs = agentCertificateTtlMs) {
      const publicKey = await keyOfRequest(csrDer);
      const names = [{ type: 'url' as const, value: `spiffe://${document.trustDomain}/agent/${agentId}` }];
      const { issuer, authority } = signer;
      const issued = await issue(issuer, { publicKey, commonName: agentId, usage: 'client', names }, now(), ttlMs);
      return { ...issued, certificatePem: issued.certificatePem + authority.chainPem };
    },

    state() {
      const { signing, server, overlap } = document;
      return {
        hash: signing.hash,
        rootHashes: rootHashesIn(signing.rootsPem),
        isGiven: document.ownKeyPem === undefined,
        expiresAt: earliestEnd(signing.chainPem + signing.rootsPem),
        serverExpiresAt: earliestEnd(server?.certificatePem ?? ''),
        overlap: overlap && {
          since: new Date(overlap.sinceUnixMs),
          earliestEnd: new Date(endsOf(overlap, config).earliestUnixMs),
          latestEnd: new Date(endsOf(overlap, config).latestUnixMs),
          previousHashes: overlap.previous.map(({ hash }) => hash),
          rootUnchanged: overlap.previous.every((previous) => sharesRoot(previous, signing)),
        },
      };
    },

    async rotate() {
      let begun = false;
      await change(async (kept) => {
        begun = kept.overlap === undefined;
        return begun ? replaced(kept, await create(now(), kept.trustDomain), now().getTime()) : kept;
      });
      return begun;
    },

    async replace(next) {
      const before = givenSigner;
      givenSigner = next;
      try {
        await change(brought);
      } catch (error) {
        givenSigner = before;
        throw error;
      }
    },

    async endOverlap() {
      await change(async (kept) => withServer(ended(kept), await signerOf(kept), advertise, now()));
    },

    async refresh(countBehind) {
      const { signing, overlap } = document;
      const behind = overlap === undefined ? 0 : await countBehind(signing.hash);
      await change(async (kept) => {
        const over = kept.signing.hash === signing.hash && isOver(kept, behind, now().getTime(), config);
        return withServer(over ? ended(kept) : kept, await signerOf(kept), advertise, now());
      });
    },

    onChange: (listener) => listeners.push(listener),
  };
}

async function create(now: Date, trustDomain = `${randomBytes(5).toString('hex')}.openline`) {
  const keys = await generateKeys();
  const rootsPem = await selfSigned(keys, trustDomain, now, CA_TTL_MS);
  const ownKeyPem = await privateKeyPem(keys.privateKey);
  const { authority: signing } = await readSigner({ certificatesPem: rootsPem, keyPem: ownKeyPem, rootsPem: '' });
  return { trustDomain, ownKeyPem, signing };
}

function withoutOwn({ authority }: Signer): AuthorityDocument {
  return { trustDomain: `${randomBytes(5).toString('hex')}.openline`, signing: authority };
}

const OLD_FILES = ['ca/ca.key', 'ca/server.pem'];

/** Builds before this one kept certificate and key in files of their own. */
async function ofOlderBuild(dataDir: string): Promise<AuthorityDocument | undefined> {
  const keyFile = join(dataDir, 'ca/ca.key');
  if (!existsSync(keyFile)) return undefined;
  try {
    const [certificatesPem, keyPem] = [readFileSync(join(dataDir, CA_FILE), 'utf8'), readFileSync(keyFile, 'utf8')];
    const { authority: signing } = await readSigner({ certificatesPem, keyPem, rootsPem: '' });
    const name = new X509Certificate(certificatesPem).subjectAltName ?? '';
    const trustDomain = /URI:spiffe:\/\/([a-z0-9._-]+)/.exec(name)?.[1] ?? 'openline';
    return { trustDomain, ownKeyPem: keyPem, signing };
  } catch (cause) {
    throw unusable(cause instanceof Error ? cause.message : 'unknown', cause);
  }
}

/**
 * While authorities overlap the server shows what peers that know only the one before can check, which below the same root is the new one's, too;
 * then, and at half of its life or with other names, it gets another.
 */
async function withServer(
  document: AuthorityDocument,
  { issuer, authority }: Signer,
  names: readonly string[],
  now: Date,
): Promise<AuthorityDocument> {
  const { server, overlap } = document;
  if (server !== undefined) {
    const certificate = new X509Certificate(server.certificatePem);
    const previous = overlap?.previous.find(({ hash }) => hash === server.issuer);
    const isUnknownToSome = previous !== undefined && !sharesRoot(previous, document.signing);
    if (isUnknownToSome && now < certificate.validToDate) return document;
    // An authority that is renewed with its key may have another name or identifier of the key.
    const isOfSigner = certificate.checkIssued(new X509Certificate(issuer.certificate.toString('pem')));
    if (isOfSigner && isCurrent(certificate, names, now)) return document;
  }
  const keys = await generateKeys();
  const { certificatePem } = await issue(
    issuer,
    { publicKey: keys.publicKey, commonName: SERVER_NAME, usage: 'server', names: names.map(dnsOrAddress) },
    now,
    SERVER_TTL_MS,
  );
  const keyPem = await privateKeyPem(keys.privateKey);
  return { ...document, server: { certificatePem, keyPem, issuer: authority.hash } };
}

function sharesRoot(one: PublicAuthority, other: PublicAuthority): boolean {
  const roots = certificatesIn(one.rootsPem);
  return certificatesIn(other.rootsPem).some((root) => roots.includes(root));
}

function materialOf(document: AuthorityDocument): TlsMaterial {
  const { server } = document;
  const authorities = authoritiesOf(document);
  const issuer = authorities.find(({ hash }) => hash === server?.issuer) ?? document.signing;
  return {
    certificatePem: (server?.certificatePem ?? '') + issuer.chainPem + issuer.rootsPem,
    keyPem: server?.keyPem ?? '',
    caPem: bundleOf(document),
    signersPem: authorities.flatMap(signerCertificate),
  };
}

function signerCertificate({ chainPem, rootsPem }: PublicAuthority): string[] {
  return certificatesIn(chainPem || rootsPem).slice(0, 1);
}

function earliestEnd(pem: string): Date {
  const ends = certificatesIn(pem).map((one) => new X509Certificate(one).validToDate.getTime());
  return new Date(Math.min(...ends));
}

function read(text: string): AuthorityDocument {
  try {
    return AuthorityDocument.parse(JSON.parse(text));
  } catch (cause) {
    throw unusable('it cannot be read', cause);
  }
}

/** In the order of the schema, so that what is the same reads the same. */
function write(document: AuthorityDocument): string {
  return `${JSON.stringify(AuthorityDocument.parse(document), undefined, 2)}\n`;
}

function unusable(why: string, cause: unknown): OpenlineError {
  return new OpenlineError('STATE_UNAVAILABLE', `the certificate authority cannot be used: ${why}`, { cause });
}

function isCurrent(certificate: X509Certificate, names: readonly string[], now: Date): boolean {
  const halfLife = (certificate.validFromDate.getTime() + certificate.validToDate.getTime()) / 2;
  if (now.getTime() > halfLife || now < certificate.validFromDate) return false;
  const has = (name: string) =>
    dnsOrAddress(name).type === 'ip' ? certificate.checkIP(name) : certificate.checkHost(name, { wildcards: false });
  const count = (certificate.subjectAltName ?? '').split(', ').length;
  return count === names.length && names.every((name) => has(name) !== undefined);
}
