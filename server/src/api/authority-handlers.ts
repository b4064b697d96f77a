import type { Authority, AuthorityServiceService } from '@openline/proto/authority';
import type { AuthorityService, AuthorityView } from '../enrollment/authority/authority-service.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface AuthorityDeps {
  readonly authority: AuthorityService;
}

export function authorityHandlers({ authority }: AuthorityDeps): Handlers<typeof AuthorityServiceService> {
  const current = async () => authorityMessage(await authority.get());
  return {
    async getAuthority() {
      return { authority: await current() };
    },
    async rotateAuthority(_request, { principal }) {
      const begun = await authority.rotate(principal);
      return { authority: await current(), underWay: !begun };
    },
    async endAuthorityOverlap({ force }, { principal }) {
      await authority.endOverlap(principal, force);
      return { authority: await current() };
    },
  };
}

const named = (hash: string) => `sha256:${hash}`;

function authorityMessage(view: AuthorityView): Authority {
  const { hash, givenFrom, expiresAt, bundlePem, serverExpiresAt, overlap, behindCount, behind } = view;
  return {
    hash: named(hash),
    givenFrom: givenFrom ?? '',
    expiresUnixMs: unixMs(expiresAt),
    bundlePem,
    serverExpiresUnixMs: unixMs(serverExpiresAt),
    overlap: overlap && {
      sinceUnixMs: unixMs(overlap.since),
      earliestEndUnixMs: unixMs(overlap.earliestEnd),
      latestEndUnixMs: unixMs(overlap.latestEnd),
      previousHashes: overlap.previousHashes.map(named),
      rootUnchanged: overlap.rootUnchanged,
      behindCount,
      behind: behind.map(({ agentId, name, online, certificateExpiresAt }) => ({
        agentId,
        agentName: name,
        online,
        certificateExpiresUnixMs: unixMs(certificateExpiresAt),
      })),
    },
  };
}
