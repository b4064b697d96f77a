import type { Place } from './dispatch.ts';
import type { TaskOrder } from './wire.ts';

/** The open lines, as runs see them. Implemented by the sessions. */
export interface AgentLines {
  /** A session of the agent is ready, here and now. */
  isConnected(agentId: string): boolean;
  /** The id of the agent that is connected, here and now, and had this name when it said Hello. */
  connectedAs(agentName: string): string | undefined;
  /**
   * Takes a place at the agent for a run that is about to be stored.
   * @param parameterBytes of the run
   */
  reserve(runId: string, agentId: string, parameterBytes: number): Place;
  /** The run was not stored after all. */
  release(runId: string, agentIds: readonly string[]): void;
  /**
   * Hands one encoded task to every agent of the list that is connected, in chunks, without blocking the event loop.
   * Those that are not are left to their next Hello.
   */
  sendTask(
    run: Pick<TaskOrder, 'runId' | 'parametersFrom'> & { readonly parameterBytes: number },
    agentIds: readonly string[],
    message: Buffer,
  ): void;
  /** Whether an agent puts properties of its own into parameters. Unless it is connected and of an older version: as far as is known. */
  fillsIn(agentId: string): boolean;
  /** Something is queued in the store for each of these: those that are connected get it as soon as they have room. */
  waiting(agentIds: readonly string[]): void;
  /** As sendTask, for what goes before tasks and output: cancellations, the wanted packs. */
  sendControl(agentIds: readonly string[], message: Buffer): void;
}
