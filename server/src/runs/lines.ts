/** The open lines, as runs see them. Implemented by the sessions. */
export interface AgentLines {
  /** A session of the agent is ready, here and now. */
  isConnected(agentId: string): boolean;
  /**
   * Hands one encoded message to every agent of the list that is connected, in chunks, without blocking the event loop.
   * Those that are not are left to their next Hello.
   */
  broadcast(agentIds: readonly string[], message: Buffer, lane: 'tasks' | 'control'): void;
}
