import type { Kysely } from 'kysely';
import type { AuditLog } from './audit/audit.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import type { Schema } from './db/schema.ts';
import type { ManagedAuthority } from './enrollment/certificate-authority.ts';
import type { EnrollmentService } from './enrollment/enrollment.ts';
import { createNodeAttestor } from './enrollment/nodes/attestor.ts';
import { createClusterAgents } from './enrollment/nodes/cluster-agents.ts';
import { createIssuerAttestor } from './enrollment/nodes/issuer-keys.ts';
import { createNodeEnrollment } from './enrollment/nodes/node-enrollment.ts';
import { createTokenReviewer } from './enrollment/nodes/token-review.ts';
import { every } from './every.ts';
import type { ClusterApi } from './kubernetes/cluster-api.ts';
import { isNodeGone, type NodeDirectory, watchNodes } from './kubernetes/node-directory.ts';
import { createPublisher } from './kubernetes/publish-authority.ts';
import type { Logger } from './telemetry/logger.ts';

export interface ClusterDeps {
  readonly db: Kysely<Schema>;
  readonly ca: Pick<ManagedAuthority, 'caPem' | 'issueForAgent' | 'onChange'>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the cluster that this process runs in; undefined: it runs in none. */
  readonly api: ClusterApi | undefined;
  revoke(agentId: string, why: string): Promise<unknown>;
  /** The labels of an agent's node are committed. */
  labelled(agentId: string, labels: Readonly<Record<string, string>>): void;
}

const PUBLISH_MS = 60_000;

/** Agents whose identity is their node's: of the cluster around this server, and of others. */
export interface Cluster {
  /** undefined: none may enrol. */
  readonly enrollNode: EnrollmentService['enrollNode'] | undefined;
  /** Follows the nodes of the cluster, where its agents may enrol. */
  start(): void;
  stop(): void;
}

export function createCluster(deps: ClusterDeps, config: Config): Cluster {
  const { db, ca, audit, clock, log, api } = deps;
  const { kubernetesAgents: accounts, kubernetesAudience: audience, kubernetesCluster: cluster } = config;
  const own =
    api !== undefined && accounts.length > 0 ? createTokenReviewer(api, { cluster, audience, accounts }) : undefined;
  if (accounts.length > 0 && api === undefined)
    log.warn({}, 'kubernetesAgents: this server does not run in a cluster, or has no service account there');
  const remote = new Map(config.remoteClusters.map((one) => [one.issuer, createIssuerAttestor(one)]));
  let nodes: NodeDirectory | undefined;
  const stopping = new AbortController();

  return {
    enrollNode:
      own === undefined && remote.size === 0
        ? undefined
        : createNodeEnrollment(
            {
              db,
              ca,
              audit,
              clock,
              attestor: createNodeAttestor(own, remote),
              labelsOf: (node) => (node.cluster === cluster ? nodes?.all()?.get(node.nodeUid)?.labels : undefined),
              replaced: deps.revoke,
              labelled: deps.labelled,
            },
            { ownCluster: cluster, certificateTtlMs: config.nodeCertificateTtlMs },
          ),
    start() {
      if (api === undefined) return;
      const { kubernetesCaConfigMap: configMap } = config;
      if (configMap !== undefined) {
        const publish = createPublisher({ api, clock, log, signal: stopping.signal }, configMap, () => ca.caPem);
        void publish();
        ca.onChange(() => void publish());
        // Somebody else may have written there, or emptied it as `helm upgrade --force` does: new agents would wait for it, or believe another.
        const kept = every(PUBLISH_MS, publish, (error) =>
          log.error({ err: error, configMap }, 'the certificate of the authority could not be published'),
        );
        stopping.signal.addEventListener('abort', () => kept.stop());
      }
      if (own === undefined) return;
      const watched = watchNodes({ api, clock, log, changed: () => agents.wake() });
      const agents = createClusterAgents({
        db,
        cluster,
        clock,
        log,
        nodes: watched.all,
        isGone: (name, uid) => isNodeGone(api, name, uid),
        revoke: deps.revoke,
        labelled: deps.labelled,
      });
      nodes = watched;
      stopping.signal.addEventListener('abort', () => {
        watched.stop();
        agents.stop();
      });
    },
    stop: () => stopping.abort(),
  };
}
