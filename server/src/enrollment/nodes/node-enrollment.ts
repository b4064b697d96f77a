import { OpenlineError } from '@openline/proto/errors';
import { type Kysely, sql } from 'kysely';
import type { AuditLog } from '../../audit/audit.ts';
import type { Clock } from '../../clock.ts';
import type { Schema } from '../../db/schema.ts';
import { violatedUnique } from '../../db/store-errors.ts';
import type { CertificateAuthority, EnrolledAgent } from '../enrollment.ts';
import { agentIdOfNode, type NodeAttestor, type NodeIdentity } from './node-identity.ts';

export interface NodeEnrollmentDeps {
  readonly db: Kysely<Schema>;
  readonly ca: Pick<CertificateAuthority, 'issueForAgent'>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly attestor: NodeAttestor;
  /** Of the node, as its cluster says them; undefined: not known, they stay as they are. */
  labelsOf(node: NodeIdentity): Readonly<Record<string, string>> | undefined;
  /** A node of this name was made anew: the agent of the one before is revoked. */
  replaced(agentId: string, why: string): Promise<unknown>;
  /** What the agent of a node is labelled with is committed. */
  labelled(agentId: string, labels: Readonly<Record<string, string>>): void;
}

export interface NodeEnrollmentConfig {
  /** Its nodes are called as they are; those of other clusters `node.cluster`. */
  readonly ownCluster: string;
  readonly certificateTtlMs: number;
}

const CLUSTER_LABEL = 'openline.dev/cluster';

/** What its cluster says of it, and which that is. */
export function pinnedLabels(labels: Readonly<Record<string, string>>, cluster: string): Record<string, string> {
  return { ...labels, [CLUSTER_LABEL]: cluster };
}

export function createNodeEnrollment(deps: NodeEnrollmentDeps, config: NodeEnrollmentConfig) {
  const { db, ca, audit, clock } = deps;

  /** Node names are unique in a cluster: who has this one and another UID is gone. */
  async function makeWay(node: NodeIdentity, agentId: string, name: string): Promise<void> {
    const known = await db
      .selectFrom('agents')
      .select(['id', 'cluster', 'revoked_at', 'revoked_reason'])
      .where((where) => where.or([where('id', '=', agentId), where.and({ name, revoked_at: null })]))
      .execute();
    // A pod of a node that was replaced may still be there, and must not end the one that took its place.
    const self = known.find(({ id }) => id === agentId);
    if (self !== undefined && self.revoked_at !== null) throw revoked(node, agentId, self.revoked_reason);
    const holder = known.find(({ id }) => id !== agentId);
    if (holder === undefined) return;
    if (holder.cluster !== node.cluster)
      throw new OpenlineError(
        'NAME_TAKEN',
        `another agent is called «${name}», as the node; revoke it: openline agents revoke ${name}`,
      );
    await deps.replaced(holder.id, `the node ${node.nodeName} was made anew`);
  }

  return async function enrollNode(token: string, csrDer: Uint8Array): Promise<EnrolledAgent> {
    const node = await deps.attestor.attest(token);
    const agentId = agentIdOfNode(node.cluster, node.nodeUid);
    const name = node.cluster === config.ownCluster ? node.nodeName : `${node.nodeName}.${node.cluster}`;
    await makeWay(node, agentId, name);
    const issued = await ca.issueForAgent(csrDer, agentId, config.certificateTtlMs);
    const labels = deps.labelsOf(node);
    const pinnedNow = pinnedLabels(labels ?? {}, node.cluster);
    const pinned = JSON.stringify(pinnedNow);
    const enrolled = await db.transaction().execute(async (tx) => {
      const made = await tx
        .insertInto('agents')
        .values({
          id: agentId,
          name,
          enrolled_at: clock.now(),
          enrolled_with: `node:${node.account}`,
          pinned_labels: pinned,
          labels: '{}',
          facts: '{}',
          certificate_expires_at: issued.notAfter,
          cluster: node.cluster,
          node_uid: node.nodeUid,
        })
        .onConflict((on) => on.column('id').doNothing())
        .returning('id')
        .executeTakeFirst()
        .catch((error: unknown) => {
          if (violatedUnique(error) !== 'agents_name') throw error;
          throw new OpenlineError('NAME_TAKEN', `another agent is called «${name}», as the node`);
        });
      if (made !== undefined) {
        const { cluster, nodeName, nodeUid, account, pod } = node;
        const details = { name, cluster, nodeName, nodeUid, account, pod };
        await audit.record({ principal: `node:${account}`, action: 'agent.enroll', object: agentId, details }, tx);
        return { agentId, agentName: name, ...issued };
      }
      const known = await tx
        .updateTable('agents')
        .set({
          certificate_expires_at: sql`greatest(certificate_expires_at, ${issued.notAfter}::timestamptz)`,
          ...(labels === undefined ? {} : { pinned_labels: pinned }),
        })
        .where('id', '=', agentId)
        .returning(['name', 'revoked_at', 'revoked_reason'])
        .executeTakeFirstOrThrow();
      if (known.revoked_at !== null) throw revoked(node, agentId, known.revoked_reason);
      return { agentId, agentName: known.name, ...issued };
    });
    // It may be connected: it proves its node anew over the line that it has.
    if (labels !== undefined) deps.labelled(agentId, pinnedNow);
    return enrolled;
  };
}

function revoked({ nodeName }: NodeIdentity, agentId: string, reason: string): OpenlineError {
  return new OpenlineError(
    'AGENT_REVOKED',
    `the agent of the node ${nodeName} was revoked (${reason}); openline agents delete ${agentId} lets it enrol anew`,
  );
}
