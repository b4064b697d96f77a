/** An agent as the server knows it, whether it is connected or not. */
export interface AgentRecord {
  readonly id: string;
  readonly name: string;
  /** What the agent says of itself, overlaid by what its join token pinned. */
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly version: string;
  readonly online: boolean;
  readonly epoch: number;
  readonly enrolledAt: Date;
  readonly connectedAt?: Date;
  readonly lastSeenAt?: Date;
  readonly remoteAddress: string;
  readonly certificateExpiresAt?: Date;
  readonly revokedAt?: Date;
}

export interface AgentPackRecord {
  readonly digest: Buffer;
  readonly name: string;
  readonly version: string;
  readonly ready: boolean;
  readonly reasonCode: string;
  readonly reason: string;
}

/** An agent that a target expression selects, and the values that it has for the keys that were asked for. */
export interface Candidate {
  readonly id: string;
  readonly name: string;
  readonly values: readonly (string | undefined)[];
}

export interface AgentService {
  /** @param targets see selector.ts. @throws OpenlineError TARGETS_INVALID */
  select(targets: string, options?: { includeRevoked?: boolean }): Promise<AgentRecord[]>;
  /** The light form of `select` that a run needs; also by ids. @throws OpenlineError TARGETS_INVALID */
  candidates(targets: string | readonly string[], keys: readonly string[]): Promise<Candidate[]>;
  /** By id or name. @throws OpenlineError AGENT_UNKNOWN */
  get(idOrName: string): Promise<AgentRecord>;
  packsOf(agentIds: readonly string[]): Promise<Map<string, AgentPackRecord[]>>;
  /** Marks it revoked, ends its open dispatches and alerts, ends its link. */
  revoke(by: { name: string }, idOrName: string, reason: string): Promise<AgentRecord>;
  /** @throws OpenlineError AGENT_UNKNOWN, AGENT_CONNECTED */
  remove(by: { name: string }, idOrName: string): Promise<void>;
  /** Ends what is still open of agents that are gone: their end may have been interrupted. */
  endGone(): Promise<void>;
}
