/** Identity of agents: who may join, and the certificates that prove it. */

export interface IssuedCertificate {
  /** Leaf first. */
  readonly certificatePem: string;
  readonly notAfter: Date;
}

/** What TLS on the server's ports is made of. */
export interface TlsMaterial {
  /** Leaf first, up to and with a root, so that a newcomer finds the authority that it was told to expect. */
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Whose chains are accepted from agents. */
  readonly caPem: string;
  /** The certificates that may have signed those of agents: a root may have signed authorities of others, too. */
  readonly signersPem: readonly string[];
}

/** Signs for agents and for the server's own ports. What it says changes while the server runs: `onChange`. */
export interface CertificateAuthority {
  /** What a peer must trust, PEM: of several authorities while one replaces another. */
  readonly caPem: string;
  /** "sha256:" + hex of the SHA-256 of the root's SubjectPublicKeyInfo (as kubeadm pins it), of several separated by commas. */
  readonly caHash: string;
  readonly trustDomain: string;
  /** Checks the request's own signature, takes only its key. URI SAN spiffe://<trust domain>/agent/<id>. */
  issueForAgent(csrDer: Uint8Array, agentId: string, ttlMs?: number): Promise<IssuedCertificate>;
  readonly material: TlsMaterial;
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
