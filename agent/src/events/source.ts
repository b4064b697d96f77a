import type { NodeEvent } from '@openline/packs';

/**
 * One log that events are read from: the agent's own, files, the journal, the kernel's, Kubernetes', Windows'. A source pushes what it reads,
 * in order, and never faster than it is taken. It mends itself: what it cannot read is a fault, and it goes on trying.
 */
export interface EventSource {
  /**
   * As in `NodeEvent.log`, or, where it reads several files, a pattern of those (`file:/var/log/app/*.log`). Each source of an agent has
   * another one: positions are kept by it.
   */
  readonly log: string;
  /**
   * Once. Reads on from `position`, or, without one, from now on: what was there before the agent first looked is history.
   * @param sink takes one batch at a time; the next is read once its promise has resolved
   */
  start(position: Position | undefined, sink: EventSink): void;
  /** Nothing is pushed once it has resolved. */
  stop(): Promise<void>;
}

/** Opaque to everybody but the source; JSON, a few kilobytes at most. Everything before it was pushed, nothing after it. */
export type Position = string;

export interface EventSink {
  /**
   * Resolves when there is room for more: the engine has taken them through the rules (not: when they are durable).
   * The batch is empty when only the position moved; a source without a position says at once where it begins, so that what
   * comes between its first start and its first event is not history after a crash.
   * @param more whether there is more to read already: a log that is never read to its end is a flood. undefined: the source cannot know
   */
  push(batch: readonly NodeEvent[], position: Position, more?: boolean): Promise<void>;
  /**
   * Events that the source knows to have lost: removed before they were read, overwritten by the kernel. They lie before the next position that
   * is pushed, so whoever keeps that position keeps this with it: then they are counted once.
   * @param events 0: some, and nobody can know how many
   */
  lost(events: number, reason: string): void;
  /** The log cannot be read at present; empty when it can again. Said once for each change. */
  fault(what: string): void;
}
