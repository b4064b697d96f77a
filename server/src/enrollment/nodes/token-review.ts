import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';
import { ApiRefused, type ClusterApi } from '../../kubernetes/cluster-api.ts';
import { checkAccount, type NodeAttestor, notAttested } from './node-identity.ts';

export interface TokenReviewConfig {
  readonly cluster: string;
  readonly audience: string;
  /** `namespace:name` */
  readonly accounts: readonly string[];
}

const Review = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    error: z.string().optional(),
    audiences: z.array(z.string()).optional(),
    user: z
      .object({ username: z.string().optional(), extra: z.record(z.string(), z.array(z.string())).optional() })
      .optional(),
  }),
});
const ACCOUNT = /^system:serviceaccount:([a-z0-9.-]+:[a-z0-9.-]+)$/;
const EXTRA = 'authentication.kubernetes.io/';

/** Asks the cluster that this server runs in (TokenReview, authentication.k8s.io/v1). Knows at once of pods and accounts that were deleted. */
export function createTokenReviewer(api: ClusterApi, config: TokenReviewConfig): NodeAttestor {
  const { cluster, audience, accounts } = config;
  return {
    async attest(token) {
      const review = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: [audience] },
      };
      const answer = await api.post('/apis/authentication.k8s.io/v1/tokenreviews', review).catch((cause: unknown) => {
        const why = cause instanceof ApiRefused || cause instanceof Error ? cause.message : 'unknown';
        throw new OpenlineError('CLUSTER_UNREACHABLE', `tokens cannot be reviewed by the cluster’s API: ${why}`, {
          cause,
        });
      });
      const { status } = Review.parse(answer);
      if (status.authenticated !== true)
        throw notAttested(`the cluster does not accept the token${status.error ? `: ${status.error}` : ''}`);
      // An API server that knows no audiences answers without them: then the token may be meant for anybody.
      if (!status.audiences?.includes(audience)) throw notAttested(`the token is not for the audience «${audience}»`);
      const account = ACCOUNT.exec(status.user?.username ?? '')?.[1];
      if (account === undefined) throw notAttested('the token is not that of a service account');
      checkAccount(account, accounts, cluster);
      const extra = (name: string) => status.user?.extra?.[`${EXTRA}${name}`]?.[0] ?? '';
      const [nodeName, nodeUid] = [extra('node-name'), extra('node-uid')];
      if (nodeName === '' || nodeUid === '')
        throw notAttested('the token names no node; it must be a projected one of a pod, and Kubernetes 1.32 or newer');
      return { cluster, nodeName, nodeUid, account, pod: extra('pod-name') };
    },
  };
}
