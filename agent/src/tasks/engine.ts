import type { Heartbeat, Task, TaskOutput, TaskReports } from '@openline/proto/agent';
import type { End } from './dispatch-machine.ts';

/** What the engine says upward. The link implements it; while no session is open `reports` and `output` return false and nothing is kept there. */
export interface Uplink {
  /**
   * Everything that was ready in one turn of the event loop, as one message; the link cuts it when it is larger than a message may be.
   * @returns false when it was not taken (no session): the engine keeps results in its spool and says them again at `sessionOpened`.
   */
  reports(reports: TaskReports): boolean;
  /** @returns false when it was not taken: no session, or the link is congested and `sessionWritable` follows. */
  output(chunk: TaskOutput): boolean;
}

export type ExecutorHealth = Pick<
  Heartbeat,
  'running' | 'queued' | 'capacity' | 'spooledResults' | 'spooledOutputBytes' | 'executorCheckedMsAgo' | 'fault'
>;

/** What the engine tells of itself, for metrics. */
export interface EngineObserver {
  /** A dispatch ended here, for the first time. */
  ended(end: End): void;
  /** The journal was synced to disk. */
  synced(tookMs: number): void;
}

/**
 * Runs tasks, at most once each, and owes their results until they are committed.
 * Journal before accepted (fsync), output and result spooled on disk, bounded queue, process groups.
 */
export interface TaskEngine {
  /** Random, made with the journal; sent in Hello. */
  readonly journalId: string;
  /** Ids whose result the server has not committed; sent in Hello. */
  openRunIds(): string[];
  /** How many tasks run at a time, and how many accepted ones may wait besides; sent in Hello. */
  readonly room: { readonly capacity: number; readonly queueLimit: number };
  /** Never throws: what is refused becomes a `rejected` result. A run id that the journal knows is not started again, its reports are repeated. */
  offer(tasks: readonly Task[]): void;
  /** Unknown ids are ignored. */
  cancel(runIds: readonly string[], reason: string): void;
  resultsCommitted(runIds: readonly string[]): void;
  outputCommitted(runId: string, committedBytes: number): void;
  /** The server dropped the output that is not committed, and takes it again. */
  outputResend(round: number, windowBytes: number): void;
  /** Says again everything that was not committed, then output within the window. */
  sessionOpened(outputWindowBytes: number): void;
  sessionClosed(): void;
  /** After `output` returned false within an open session: the link can take output again. */
  sessionWritable(): void;
  health(): ExecutorHealth;
  /** Stops taking tasks, stops the running ones (their result says so), flushes and closes the journal. */
  stop(reason: string): Promise<void>;
}
