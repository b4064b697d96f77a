import type { Kysely } from 'kysely';
import type { AuditLog } from './audit/audit.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import type { Schema } from './db/schema.ts';
import type { CertificateAuthority, EnrollmentService } from './enrollment/enrollment.ts';
import { createNodeAttestor } from './enrollment/nodes/attestor.ts';
import { createClusterAgents } from './enrollment/nodes/cluster-agents.ts';
import { createIssuerAttestor } from './enrollment/nodes/issuer-keys.ts';
import { createNodeEnrollment } from './enrollment/nodes/node-enrollment.ts';
import { createTokenReviewer } from './enrollment/nodes/token-review.ts';
import type { ClusterApi } from './kubernetes/cluster-api.ts';
import { type NodeDirectory, watchNodes } from './kubernetes/node-directory.ts';
import type { Logger } from './telemetry/logger.ts';

export interface ClusterDeps {
  readonly db: Kysely<Schema>;
  readonly ca: CertificateAuthority;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the cluster that this process runs in; undefined: it runs in none. */
  readonly api: ClusterApi | undefined;
  revoke(agentId: string, why: string): Promise<unknown>;
}

/** Agents whose identity is their node's: of the cluster around this server, and of others. */
export interface Cluster {
  /** undefined: none may enrol. */
  readonly enrollNode: EnrollmentService['enrollNode'] | undefined;
  /** Follows the nodes of the cluster, where its agents may enrol. */
  start(): void;
  stop(): void;
}

const PUBLISH_RETRY_MS = 2_000;

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

  /** Until it is there: no agent of the cluster can begin without it. */
  async function publish(to: ClusterApi, name: string): Promise<void> {
    const path = `/api/v1/namespaces/${to.namespace}/configmaps/${name}`;
    for (let failed = false; !stopping.signal.aborted; ) {
      try {
        await to.patch(path, { data: { 'ca.crt': ca.caPem } });
        log.info({ configMap: name }, 'the certificate of the authority is published to the cluster');
        return;
      } catch (error) {
        if (!failed)
          log.error(
            { err: error, configMap: name },
            'the certificate of the authority could not be published; it is tried again',
          );
        failed = true;
        await clock.sleep(PUBLISH_RETRY_MS, stopping.signal);
      }
    }
  }

  const attempt = (work: Promise<unknown>) =>
    void work.catch((error: unknown) => log.error({ err: error }, 'agents do not follow their nodes'));

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
              labelsOf: (node) => (node.cluster === cluster ? nodes?.get(node.nodeUid)?.labels : undefined),
              replaced: deps.revoke,
            },
            { ownCluster: cluster, certificateTtlMs: config.nodeCertificateTtlMs },
          ),
    start() {
      if (api !== undefined && config.kubernetesCaConfigMap !== undefined)
        void publish(api, config.kubernetesCaConfigMap);
      if (own === undefined || api === undefined) return;
      const agents = createClusterAgents({ db, cluster, revoke: deps.revoke });
      nodes = watchNodes({
        api,
        clock,
        log,
        listed: (all) => attempt(agents.listed(new Map(all))),
        changed: (node) => attempt(agents.changed(node)),
        deleted: (node) => attempt(agents.deleted(node)),
      });
    },
    stop() {
      stopping.abort();
      nodes?.stop();
    },
  };
}
