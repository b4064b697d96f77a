import type { Authority } from '@openline/proto/authority';
import { iso } from './values.ts';

export interface AuthorityView {
  hash: string;
  /** null: the server made it itself. */
  givenFrom: string | null;
  expiresAt: string | null;
  serverCertificateExpiresAt: string | null;
  overlap: OverlapView | null;
}

export interface OverlapView {
  since: string | null;
  earliestEnd: string | null;
  latestEnd: string | null;
  previous: string[];
  /** Who trusts the authorities before trusts the new one. */
  rootUnchanged: boolean;
  behindCount: number;
  behind: { agentId: string; agent: string; online: boolean; certificateExpiresAt: string | null }[];
}

export function authorityView({
  hash,
  givenFrom,
  expiresUnixMs,
  serverExpiresUnixMs,
  overlap,
}: Authority): AuthorityView {
  return {
    hash,
    givenFrom: givenFrom || null,
    expiresAt: iso(expiresUnixMs),
    serverCertificateExpiresAt: iso(serverExpiresUnixMs),
    overlap:
      overlap === undefined
        ? null
        : {
            since: iso(overlap.sinceUnixMs),
            earliestEnd: iso(overlap.earliestEndUnixMs),
            latestEnd: iso(overlap.latestEndUnixMs),
            previous: overlap.previousHashes,
            rootUnchanged: overlap.rootUnchanged,
            behindCount: overlap.behindCount,
            behind: overlap.behind.map(({ agentId, agentName, online, certificateExpiresUnixMs }) => ({
              agentId,
              agent: agentName,
              online,
              certificateExpiresAt: iso(certificateExpiresUnixMs),
            })),
          },
  };
}
