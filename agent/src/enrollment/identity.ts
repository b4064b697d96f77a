/** What this agent proves itself with, and whom it trusts. */
export interface Identity {
  readonly agentId: string;
  readonly agentName: string;
  readonly keyPem: string;
  /** Leaf first. */
  readonly certificatePem: string;
  readonly caPem: string;
  /** minisign public keys that came with the enrolment. */
  readonly trustedPackKeys: readonly string[];
  /** SHA-256 of the join token that was redeemed, so that the same one is not tried twice. Hexadecimal. */
  readonly joinTokenHash: string;
}
