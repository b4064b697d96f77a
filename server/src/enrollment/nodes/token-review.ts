import type { ClusterApi } from '../../kubernetes/cluster-api.ts';
import { reviewToken } from '../../kubernetes/token-review.ts';
import { checkAccount, type NodeAttestor, notAttested } from './node-identity.ts';

export interface TokenReviewConfig {
  readonly cluster: string;
  readonly audience: string;
  /** `namespace:name` */
  readonly accounts: readonly string[];
}

/** Nodes of the cluster that this server runs in, by its own word. */
export function createTokenReviewer(api: ClusterApi, config: TokenReviewConfig): NodeAttestor {
  const { cluster, audience, accounts } = config;
  return {
    async attest(token) {
      const reviewed = await reviewToken(api, token, audience);
      if (reviewed.kind === 'refused') throw notAttested(reviewed.why);
      const { account, extra } = reviewed;
      checkAccount(account, accounts, cluster);
      const [nodeName, nodeUid] = [extra('node-name'), extra('node-uid')];
      if (nodeName === '' || nodeUid === '')
        throw notAttested('the token names no node; it must be a projected one of a pod, and Kubernetes 1.32 or newer');
      return { cluster, nodeName, nodeUid, account, pod: extra('pod-name') };
    },
  };
}
