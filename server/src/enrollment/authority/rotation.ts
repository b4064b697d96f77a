import { X509Certificate } from 'node:crypto';
import * as z from 'zod';
import { spkiHashOf } from '../x509.ts';

/** What of an authority everybody may know. */
const PublicAuthority = z.object({
  /** SHA-256 of the SubjectPublicKeyInfo of the key that signs, hexadecimal: another key is another authority. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** From the certificate of that key up to below a root, PEM; empty when that certificate is the root. */
  chainPem: z.string(),
  /** What a peer must trust, PEM. */
  rootsPem: z.string(),
});
export type PublicAuthority = Readonly<z.infer<typeof PublicAuthority>>;

const MAX_PREVIOUS = 4;

/**
 * What the state holds of the authority. A change of authority is an overlap: the new one signs for agents at once, everybody is told to
 * trust both, and the server keeps showing its certificate of the one before, so that nobody meets a server that it does not know (ADR 0020).
 */
export const AuthorityDocument = z.object({
  /** Part of every agent's name in its certificate: it stays when the authority changes. */
  trustDomain: z.string().min(1),
  /** undefined: the key is given, and is kept elsewhere. */
  ownKeyPem: z.string().optional(),
  signing: PublicAuthority,
  /** Of the server's own ports: one certificate, and the authority that signed it. */
  server: z.object({ certificatePem: z.string(), keyPem: z.string(), issuer: z.string() }).optional(),
  overlap: z
    .object({ sinceUnixMs: z.number(), previous: z.array(PublicAuthority).min(1).max(MAX_PREVIOUS) })
    .optional(),
});
export type AuthorityDocument = Readonly<z.infer<typeof AuthorityDocument>>;

export interface RotationPolicy {
  /** Operators, join commands and what else is not told over a link has so long to learn of the new one. */
  readonly overlapMs: number;
  /** The longest life of an agent's certificate: after it none of the authority before is valid. */
  readonly longestLifeMs: number;
}

/** Another authority signs from now on. One with the same key is the same, renewed: nothing needs to overlap. Pure. */
export function replaced(
  document: AuthorityDocument,
  next: { readonly signing: PublicAuthority; readonly ownKeyPem?: string | undefined },
  nowUnixMs: number,
): AuthorityDocument {
  const { ownKeyPem: _gone, ...rest } = document;
  const changed = {
    ...rest,
    ...(next.ownKeyPem === undefined ? {} : { ownKeyPem: next.ownKeyPem }),
    signing: next.signing,
  };
  if (next.signing.hash === document.signing.hash) return changed;
  const previous = [...(document.overlap?.previous ?? []), document.signing];
  const others = previous.filter(({ hash }) => hash !== next.signing.hash).slice(-MAX_PREVIOUS);
  if (others.length === 0) return changed;
  return { ...changed, overlap: { sinceUnixMs: nowUnixMs, previous: others } };
}

/** When the overlap may end, and when it does in any case. */
export function endsOf({ sinceUnixMs }: { readonly sinceUnixMs: number }, policy: RotationPolicy) {
  const earliestUnixMs = sinceUnixMs + policy.overlapMs;
  return { earliestUnixMs, latestUnixMs: Math.max(earliestUnixMs, sinceUnixMs + policy.longestLifeMs) };
}

/** @param behind agents that may still need the authority before. Pure. */
export function isOver(
  { overlap }: AuthorityDocument,
  behind: number,
  nowUnixMs: number,
  policy: RotationPolicy,
): boolean {
  if (overlap === undefined) return false;
  const { earliestUnixMs, latestUnixMs } = endsOf(overlap, policy);
  return nowUnixMs >= latestUnixMs || (nowUnixMs >= earliestUnixMs && behind === 0);
}

/** The authorities before are trusted no longer. Pure. */
export function ended({ overlap: _over, ...rest }: AuthorityDocument): AuthorityDocument {
  return rest;
}

/** Every authority that holds now, the one that signs first. */
export function authoritiesOf({ signing, overlap }: AuthorityDocument): readonly PublicAuthority[] {
  return [signing, ...(overlap?.previous ?? [])];
}

/** What a peer must trust now: each certificate once. */
export function bundleOf(document: AuthorityDocument): string {
  return [...new Set(authoritiesOf(document).flatMap(({ rootsPem }) => certificatesIn(rootsPem)))].join('');
}

/** Of the keys of these certificates, hexadecimal, each once. */
export function rootHashesIn(pem: string): string[] {
  return [...new Set(certificatesIn(pem).map((one) => spkiHashOf(new X509Certificate(one)).toString('hex')))];
}

/** @returns each with a line feed at its end */
export function certificatesIn(pem: string): string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => `${one}\n`);
}
