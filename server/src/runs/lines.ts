/** The open lines, as runs see them. Implemented by the sessions. */
export interface AgentLines {
  /** A session of the agent is ready, here and now. */
  isConnected(agentId: string): boolean;
  /**
   * Hands one encoded task to every agent of the list that is connected, in chunks, without blocking the event loop.
   * Those that are not are left to their next Hello.
   */
  sendTask(runId: string, agentIds: readonly string[], message: Buffer): void;
  /** The same for what goes before tasks and output: cancellations, the wanted packs. */
  sendControl(agentIds: readonly string[], message: Buffer): void;
}
