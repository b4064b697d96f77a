import { OpenlineError } from '@openline/proto/errors';
import { decodeJwt } from 'jose';
import type { ClusterApi } from '../kubernetes/cluster-api.ts';
import { reviewToken } from '../kubernetes/token-review.ts';
import type { Principal, Role } from './access.ts';

/** Service accounts of the cluster around this server that are operators: jobs and tests show their own token, and nobody keeps one for them. */
export interface Workloads {
  /** Whether the token says to be of one of them. What it says is not believed yet, but strangers are kept from the cluster's API. */
  claims(token: string): boolean;
  /** @throws OpenlineError UNAUTHENTICATED, CLUSTER_UNREACHABLE, SERVER_BUSY */
  review(token: string): Promise<Principal>;
}

export interface WorkloadsConfig {
  readonly kubernetesOperators: readonly WorkloadOperator[];
  readonly kubernetesAudience: string;
}

export interface WorkloadOperator {
  /** `namespace:name` */
  readonly account: string;
  readonly role: Role;
}

const MAX_REVIEWS = 8;
const SUBJECT = 'system:serviceaccount:';

export function createWorkloads(api: Pick<ClusterApi, 'post'>, config: WorkloadsConfig): Workloads {
  const roles = new Map(config.kubernetesOperators.map(({ account, role }) => [account, role]));
  let underWay = 0;
  return {
    claims: (token) => roles.has(accountOf(token)),
    async review(token) {
      if (underWay >= MAX_REVIEWS)
        throw new OpenlineError('SERVER_BUSY', `${MAX_REVIEWS} tokens are being reviewed by the cluster’s API already`);
      underWay++;
      try {
        const reviewed = await reviewToken(api, token, config.kubernetesAudience);
        if (reviewed.kind === 'refused') throw new OpenlineError('UNAUTHENTICATED', reviewed.why);
        const { account } = reviewed;
        const role = roles.get(account);
        if (role === undefined)
          throw new OpenlineError('UNAUTHENTICATED', `the service account ${account} is no operator here`);
        // No name of a token has a colon: it cannot be taken for one, in the audit log neither.
        return { id: `serviceaccount:${account}`, name: `serviceaccount:${account}`, role };
      } finally {
        underWay--;
      }
    },
  };
}

function accountOf(token: string): string {
  try {
    const { sub = '' } = decodeJwt(token);
    return sub.startsWith(SUBJECT) ? sub.slice(SUBJECT.length) : '';
  } catch {
    return '';
  }
}
