import { createHash } from 'node:crypto';
import { OpenlineError } from '@openline/proto/errors';

/** What a projected service-account token proves: on which node of which cluster its pod runs. */
export interface NodeIdentity {
  /** As it is called in the configuration. */
  readonly cluster: string;
  readonly nodeName: string;
  readonly nodeUid: string;
  /** `namespace:name` of the service account. */
  readonly account: string;
  readonly pod: string;
}

export interface NodeAttestor {
  /** @throws OpenlineError NODE_NOT_ATTESTED, CLUSTER_UNREACHABLE, SERVER_BUSY */
  attest(token: string): Promise<NodeIdentity>;
}

/**
 * The same for every pod of the node, and another one for a node that was made anew under the same name: an identity follows the node.
 * A UUID (RFC 9562, version 8) of the SHA-256 of both.
 */
export function agentIdOfNode(cluster: string, nodeUid: string): string {
  const bytes = createHash('sha256').update(`${cluster}\n${nodeUid}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function notAttested(why: string, cause?: unknown): OpenlineError {
  return new OpenlineError('NODE_NOT_ATTESTED', why, { cause });
}

export function checkAccount(account: string, allowed: readonly string[], cluster: string): void {
  if (!allowed.includes(account))
    throw notAttested(`the service account ${account} of the cluster «${cluster}» may not enrol agents`);
}
