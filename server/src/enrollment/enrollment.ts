/** Identity of agents: who may join, and the certificates that prove it. */

export interface IssuedCertificate {
  /** Leaf first. */
  readonly certificatePem: string;
  readonly notAfter: Date;
}

/** The server's own certificate authority (P-256), kept in the data directory, key mode 0600. */
export interface CertificateAuthority {
  readonly caPem: string;
  /** "sha256:" + hex of the SHA-256 of the CA's SubjectPublicKeyInfo (as kubeadm pins it). */
  readonly caHash: string;
  readonly trustDomain: string;
  /** Checks the request's own signature, takes only its key. URI SAN spiffe://<trust domain>/agent/<id>. */
  issueForAgent(csrDer: Uint8Array, agentId: string, ttlMs?: number): Promise<IssuedCertificate>;
  /** A certificate for the server's own ports, for these DNS names and addresses; made anew when they change or at half life. */
  serverIdentity(names: readonly string[]): Promise<{ certificatePem: string; keyPem: string; notAfter: Date }>;
}

export interface EnrolledAgent extends IssuedCertificate {
  readonly agentId: string;
  readonly agentName: string;
}

export interface EnrollmentService {
  /**
   * Redeems the token and creates the agent, in one transaction.
   * @throws OpenlineError JOIN_TOKEN_INVALID, NAME_TAKEN, REQUEST_INVALID
   */
  enrollWithToken(secret: string, csrDer: Uint8Array, name: string): Promise<EnrolledAgent>;
  /**
   * The agent of the node that the token proves: made at the first time, the same one from then on.
   * @throws OpenlineError NODE_NOT_ATTESTED, CLUSTER_UNREACHABLE, AGENT_REVOKED, NAME_TAKEN, REQUEST_INVALID
   */
  enrollNode(token: string, csrDer: Uint8Array): Promise<EnrolledAgent>;
  /** @throws OpenlineError IDENTITY_UNKNOWN, AGENT_REVOKED, REQUEST_INVALID */
  renew(agentId: string, csrDer: Uint8Array): Promise<IssuedCertificate>;
}
