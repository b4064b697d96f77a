import { compareVersions } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';

/** What the store knows of one version of a pack. */
export interface KnownVersion {
  readonly version: string;
  readonly digest: Buffer;
  readonly wanted: boolean;
}

/**
 * What a push does to the versions of its pack that are in place.
 * @throws OpenlineError PACK_CONTENT_CHANGED, PACK_DOWNGRADE
 */
export function judgePush(
  name: string,
  pushed: { readonly version: string; readonly digest: Buffer },
  known: readonly KnownVersion[],
): 'store' | 'unchanged' {
  const same = known.find(({ version }) => version === pushed.version);
  if (same !== undefined && !same.digest.equals(pushed.digest)) {
    throw new OpenlineError(
      'PACK_CONTENT_CHANGED',
      `pack «${name}» ${pushed.version} is in place with other content (${short(same.digest)}, pushed ${short(pushed.digest)})`,
    );
  }
  if (same?.wanted) return 'unchanged';
  const wanted = known.find((version) => version.wanted);
  // Versions that differ only in build metadata have no order, so the one in place stays.
  if (wanted !== undefined && compareVersions(pushed.version, wanted.version) <= 0) {
    throw new OpenlineError(
      'PACK_DOWNGRADE',
      `pack «${name}» is at ${wanted.version}; ${pushed.version} is not newer, so it was not pushed`,
    );
  }
  return 'store';
}

function short(digest: Buffer): string {
  return `sha256:${digest.toString('hex').slice(0, 12)}`;
}
