import { readFileSync } from 'node:fs';
import { OpenlineError } from '@openline/proto/errors';
import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import * as z from 'zod';
import { checkAccount, type NodeAttestor, notAttested } from './node-identity.ts';

/** Another cluster, whose tokens are checked by the keys of its issuer. */
export interface RemoteCluster {
  readonly name: string;
  /** As tokens say it (`iss`), and for discovery where its keys are. */
  readonly issuer: string;
  readonly audience: string;
  /** `namespace:name` */
  readonly accounts: readonly string[];
  /** A JWKS; undefined: what `<issuer>/.well-known/openid-configuration` names. */
  readonly jwksFile: string | undefined;
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'EdDSA'];
const CLOCK_TOLERANCE_S = 30;
const TIMEOUT_MS = 5_000;

/** Private claims of Kubernetes' bound tokens; `node` since 1.32. */
const Claims = z.object({
  'kubernetes.io': z.object({
    namespace: z.string(),
    serviceaccount: z.object({ name: z.string() }),
    pod: z.object({ name: z.string() }).optional(),
    node: z.object({ name: z.string(), uid: z.string() }).optional(),
  }),
});
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https$/ }) });
const Jwks = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

/** A token is taken until it ends, also when its pod was deleted: that cluster's API is not asked. */
export function createIssuerAttestor(config: RemoteCluster): NodeAttestor {
  const { name: cluster, issuer, audience, accounts } = config;
  let keys: Promise<JWTVerifyGetKey> | undefined;

  async function findKeys(): Promise<JWTVerifyGetKey> {
    if (config.jwksFile !== undefined)
      return createLocalJWKSet(Jwks.parse(JSON.parse(readFileSync(config.jwksFile, 'utf8'))));
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
    const found = Discovery.parse(await answer.json());
    if (found.issuer !== issuer) throw new Error(`${url} is that of another issuer, ${found.issuer}`);
    // Keeps the keys, and asks again when a token names one that it does not know.
    return createRemoteJWKSet(new URL(found.jwks_uri), { timeoutDuration: TIMEOUT_MS });
  }

  return {
    async attest(token) {
      // A file may have been replaced; what was discovered follows by itself.
      if (config.jwksFile !== undefined) keys = undefined;
      keys ??= findKeys();
      const verified = await keys
        .catch((cause: unknown) => {
          keys = undefined;
          throw unreachable(cluster, cause);
        })
        .then((getKey) =>
          jwtVerify(token, getKey, { issuer, audience, algorithms: ALGORITHMS, clockTolerance: CLOCK_TOLERANCE_S }),
        )
        .catch((cause: unknown) => {
          if (cause instanceof OpenlineError) throw cause;
          if (cause instanceof errors.JWKSTimeout || !(cause instanceof errors.JOSEError))
            throw unreachable(cluster, cause);
          throw notAttested(`the token of the cluster «${cluster}» is not accepted: ${cause.message}`, cause);
        });
      const claims = Claims.safeParse(verified.payload).data?.['kubernetes.io'];
      if (claims === undefined) throw notAttested('the token is not that of a service account');
      const account = `${claims.namespace}:${claims.serviceaccount.name}`;
      checkAccount(account, accounts, cluster);
      if (claims.node === undefined)
        throw notAttested('the token names no node; it must be a projected one of a pod, and Kubernetes 1.32 or newer');
      const { name: nodeName, uid: nodeUid } = claims.node;
      return { cluster, nodeName, nodeUid, account, pod: claims.pod?.name ?? '' };
    },
  };
}

function unreachable(cluster: string, cause: unknown): OpenlineError {
  const why = cause instanceof Error ? cause.message : 'unknown';
  return new OpenlineError(
    'CLUSTER_UNREACHABLE',
    `the issuer’s keys of the cluster «${cluster}» cannot be had: ${why}`,
    {
      cause,
    },
  );
}
