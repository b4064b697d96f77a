import { OpenlineError } from '@openline/proto/errors';
import type { Principal } from '../../access/access.ts';
import type { AuditLog } from '../../audit/audit.ts';
import type { Clock } from '../../clock.ts';
import type { AuthorityState, ManagedAuthority } from '../certificate-authority.ts';
import type { AgentBehind, HeldStore } from './held-store.ts';

export interface AuthorityView extends AuthorityState {
  readonly bundlePem: string;
  /** undefined: the server made it itself. */
  readonly givenFrom: string | undefined;
  readonly behindCount: number;
  /** The first of them, by name. */
  readonly behind: readonly AgentBehind[];
}

/** What operators see and do of the authority. */
export interface AuthorityService {
  /** @throws OpenlineError STORE_UNAVAILABLE */
  get(): Promise<AuthorityView>;
  /** @returns false: one is under way. @throws OpenlineError REQUEST_INVALID the authority is given; STATE_UNAVAILABLE, STORE_UNAVAILABLE */
  rotate(by: Principal): Promise<boolean>;
  /** @throws OpenlineError REQUEST_INVALID there is none, or agents are behind; STATE_UNAVAILABLE, STORE_UNAVAILABLE */
  endOverlap(by: Principal, force: boolean): Promise<void>;
}

export interface AuthorityServiceDeps {
  readonly ca: ManagedAuthority;
  readonly store: Pick<HeldStore, 'countBehind' | 'behind'>;
  readonly audit: Pick<AuditLog, 'record'>;
  readonly clock: Pick<Clock, 'now'>;
}

const MOST_SHOWN = 100;

export function createAuthorityService(
  { ca, store, audit, clock }: AuthorityServiceDeps,
  { caDirectory }: { readonly caDirectory: string | undefined },
): AuthorityService {
  return {
    async get() {
      const state = ca.state();
      const none = { behindCount: 0, behind: [] };
      const behind =
        state.overlap === undefined
          ? none
          : {
              behindCount: await store.countBehind(state.hash, clock.now()),
              behind: await store.behind(state.hash, clock.now(), MOST_SHOWN),
            };
      return { ...state, ...behind, bundlePem: ca.caPem, givenFrom: state.isGiven ? caDirectory : undefined };
    },

    async rotate(by) {
      if (caDirectory !== undefined)
        throw new OpenlineError(
          'REQUEST_INVALID',
          `the authority is given (${caDirectory} on the server): replace it where it is made, e.g. renew the Certificate of cert-manager or change the Secret; the server follows its files within a minute or two, with the same overlap`,
        );
      const { hash, overlap } = ca.state();
      if (overlap !== undefined) return false;
      await audit.record({ principal: by.name, action: 'authority.rotate', object: hash, details: {} });
      return ca.rotate();
    },

    async endOverlap(by, force) {
      const { hash, overlap } = ca.state();
      if (overlap === undefined)
        throw new OpenlineError('REQUEST_INVALID', 'no authority is being replaced: there is nothing to end');
      const behind = await store.countBehind(hash, clock.now());
      if (behind > 0 && !force)
        throw new OpenlineError(
          'REQUEST_INVALID',
          `${behind} agents do not hold the new authority yet (openline ca status names them), and would have to join again: wait, revoke them, or add --force`,
        );
      const details = { previous: overlap.previousHashes, behind };
      await audit.record({ principal: by.name, action: 'authority.endOverlap', object: hash, details });
      await ca.endOverlap();
    },
  };
}
