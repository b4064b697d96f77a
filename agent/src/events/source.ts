import type { NodeEvent } from '@openline/packs';

/**
 * One log that events are read from: the agent's own, a file, the journal, the kernel's, Kubernetes', Windows'. A source pushes what it reads,
 * in order, and never faster than it is taken.
 */
export interface EventSource {
  /** As in `NodeEvent.log`. */
  readonly log: string;
  /**
   * Reads on from `position`, or, without one, from now on: what was there before the agent first looked is history.
   * @param sink takes one batch at a time; the next is read once its promise has resolved
   */
  start(position: Position | undefined, sink: EventSink): void;
  /** Nothing is pushed once it has resolved. */
  stop(): Promise<void>;
}

/** Opaque to everybody but the source; JSON, small. Everything before it was pushed, nothing after it. */
export type Position = string;

export interface EventSink {
  /** Resolves when there is room for more: the engine has taken them through the rules (not: when they are durable). */
  push(batch: readonly NodeEvent[], position: Position): Promise<void>;
  /** Events that the source knows to have lost: rotated away before they were read, overwritten by the kernel. */
  lost(events: number, reason: string): void;
  /** The log cannot be read at present; empty when it can again. Shown in `openline agents show`, and in the log once for each change. */
  fault(what: string): void;
}
