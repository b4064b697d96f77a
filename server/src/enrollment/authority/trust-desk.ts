import { createGroupCommit } from '../../db/group-commit.ts';
import type { ManagedAuthority } from '../certificate-authority.ts';
import type { HeldStore } from './held-store.ts';
import { rootHashesIn } from './rotation.ts';

/** What an agent says of itself. Hashes are hexadecimal. */
export interface TrustReport {
  /** Of the authorities that it would know a server by. */
  readonly authorities: readonly string[];
  /** Of the one that signed its certificate. */
  readonly issuer: string;
}

/** What agents are told, and what they have said. */
export interface TrustDesk {
  /** What holds now: whom to trust, and who signs. */
  current(): { readonly caPem: string; readonly issuer: string };
  /** @returns whether that is something else than what holds: then the agent is to be told */
  reported(agentId: string, report: TrustReport): boolean;
  /** Nothing is waiting to be stored. */
  idle(): Promise<void>;
  close(): void;
}

export interface TrustDeskDeps {
  readonly ca: Pick<ManagedAuthority, 'caPem' | 'state'>;
  readonly store: Pick<HeldStore, 'held'>;
  sleep(ms: number): Promise<void>;
  onFailure(error: unknown, pending: number): void;
}

export function createTrustDesk({ ca, store, sleep, onFailure }: TrustDeskDeps): TrustDesk {
  const said = createGroupCommit<{ agentId: string; hash: string }>({
    sleep,
    onFailure,
    async commit(items) {
      for (const [hash, ones] of Map.groupBy(items, (item) => item.hash))
        await store.held(
          ones.map(({ agentId }) => agentId),
          hash,
        );
    },
  });
  /** Of the bundle, which is read anew only when it is another. */
  let known = { caPem: '', hashes: new Set<string>() };

  return {
    current: () => ({ caPem: ca.caPem, issuer: ca.state().hash }),
    reported(agentId, { authorities, issuer }) {
      const { hash, rootHashes, overlap } = ca.state();
      if (known.caPem !== ca.caPem) known = { caPem: ca.caPem, hashes: new Set(rootHashesIn(ca.caPem)) };
      const trusted = new Set(authorities);
      // Only a change is counted: at all other times a Hello writes nothing.
      if (overlap !== undefined && issuer === hash && rootHashes.every((root) => trusted.has(root)))
        said.add({ agentId, hash });
      const same = trusted.size === known.hashes.size && [...known.hashes].every((root) => trusted.has(root));
      return issuer !== hash || !same;
    },
    idle: said.idle,
    close: said.close,
  };
}
