import { OpenlineError } from '@openline/proto/errors';
import type { ClusterApi } from '../../kubernetes/cluster-api.ts';
import { reviewToken } from '../../kubernetes/token-review.ts';
import { checkAccount, type NodeAttestor, notAttested } from './node-identity.ts';

export interface TokenReviewConfig {
  readonly cluster: string;
  readonly audience: string;
  /** `namespace:name` */
  readonly accounts: readonly string[];
}

/**
 * Anybody who reaches the agents' port may show a token, and all agents of a cluster may come at once: those beyond wait for their turn, and no more
 * wait than are asked about within some seconds.
 */
const AT_ONCE = 16;
const MAX_WAITING = 2_000;

/** Nodes of the cluster that this server runs in, by its own word. */
export function createTokenReviewer(api: ClusterApi, config: TokenReviewConfig): NodeAttestor {
  const { cluster, audience, accounts } = config;
  let underWay = 0;
  const waiting: (() => void)[] = [];

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (underWay < AT_ONCE) underWay++;
    else if (waiting.length < MAX_WAITING) await new Promise<void>((resolve) => waiting.push(resolve));
    else
      throw new OpenlineError('SERVER_BUSY', `${MAX_WAITING} tokens wait to be reviewed by the cluster’s API already`);
    try {
      return await work();
    } finally {
      // Its place goes to who waits longest.
      const next = waiting.shift();
      if (next === undefined) underWay--;
      else next();
    }
  }

  return {
    async attest(token) {
      const reviewed = await inTurn(() => reviewToken(api, token, audience));
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
