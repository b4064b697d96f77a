import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';
import type { ClusterApi } from './cluster-api.ts';

/** What the cluster says of a token that somebody showed. */
export type Reviewed =
  | {
      readonly kind: 'account';
      /** `namespace:name` of the service account. */
      readonly account: string;
      /** "" for what the token does not say: `node-name`, `node-uid`, `pod-name`. */
      extra(name: string): string;
    }
  | { readonly kind: 'refused'; readonly why: string };

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

/**
 * Asks the cluster that this server runs in (TokenReview, authentication.k8s.io/v1). It knows at once of pods and accounts that were deleted.
 * @throws OpenlineError CLUSTER_UNREACHABLE
 */
export async function reviewToken(api: Pick<ClusterApi, 'post'>, token: string, audience: string): Promise<Reviewed> {
  const review = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: [audience] },
  };
  const answer = await api.post('/apis/authentication.k8s.io/v1/tokenreviews', review).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : 'unknown';
    throw new OpenlineError('CLUSTER_UNREACHABLE', `tokens cannot be reviewed by the cluster’s API: ${why}`, { cause });
  });
  const { status } = Review.parse(answer);
  if (status.authenticated !== true)
    return refused(`the cluster does not accept the token${status.error ? `: ${status.error}` : ''}`);
  // An API server that knows no audiences answers without them: then the token may be meant for anybody.
  if (!status.audiences?.includes(audience)) return refused(`the token is not for the audience «${audience}»`);
  const account = ACCOUNT.exec(status.user?.username ?? '')?.[1];
  if (account === undefined) return refused('the token is not that of a service account');
  return { kind: 'account', account, extra: (name) => status.user?.extra?.[`${EXTRA}${name}`]?.[0] ?? '' };
}

const refused = (why: string): Reviewed => ({ kind: 'refused', why });
