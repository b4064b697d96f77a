import type { NodeEvent } from '@openline/packs';
import { type Backoff, backoffMs } from '../../link/backoff.ts';
import type { Clock } from '../../tasks/clock.ts';
import type { EventSink, EventSource, Position } from '../source.ts';

/** What a source reads with, from its start until it fails or is stopped. */
export interface Reading {
  /** Aborted by `stop`: the session returns soon after. */
  readonly signal: AbortSignal;
  /** Of the last batch that was pushed, also by a session before. */
  position(): Position | undefined;
  /** As `EventSink.push`. It can read, so the failure of a session before is over. */
  push(batch: readonly NodeEvent[], position: Position, more?: boolean): Promise<void>;
  lost: EventSink['lost'];
  /** It can read, though there is nothing to push. */
  healthy(): void;
  /** Something is wrong, and the session goes on; empty: not any more. */
  fault: EventSink['fault'];
}

/** It cannot be read, and this is why; the message is for people. Anything else that is thrown is shown as it is. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault';
  /** Default: the loop's backoff. */
  readonly retryMs: number | undefined;
  constructor(message: string, options: ErrorOptions & { readonly retryMs?: number } = {}) {
    super(message, options);
    this.retryMs = options.retryMs;
  }
}

export interface LoopDeps {
  readonly clock: Clock;
  /** [0, 1) */
  readonly random: () => number;
}

const BACKOFF: Backoff = { baseMs: 2_000, maxMs: 60_000 };

/**
 * A source made of sessions: each reads on from where the one before it came to, until it throws or returns; then comes the next, with
 * backoff where it failed.
 */
export function createLoop(
  { clock, random }: LoopDeps,
  log: string,
  session: (reading: Reading) => Promise<void>,
  backoff: Backoff = BACKOFF,
): EventSource {
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();

  async function run(start: Position | undefined, sink: EventSink): Promise<void> {
    let position = start;
    let failures = 0;
    let shown = '';
    /** Why there is no session, and what the session says. */
    const faults = { failure: '', said: '' };
    const show = (change: Partial<typeof faults>) => {
      Object.assign(faults, change);
      const what = [faults.failure, faults.said].filter((one) => one !== '').join('; ');
      if (what === shown || signal.aborted) return;
      shown = what;
      sink.fault(what);
    };
    const healthy = () => {
      failures = 0;
      if (faults.failure !== '') show({ failure: '' });
    };
    const reading: Reading = {
      signal,
      position: () => position,
      async push(batch, next, more) {
        if (signal.aborted) return;
        healthy();
        // A stop does not wait for room.
        await untilAborted(sink.push(batch, next, more), signal);
        position = next;
      },
      lost(events, reason) {
        if (!signal.aborted) sink.lost(events, reason);
      },
      healthy,
      fault: (said) => show({ said }),
    };
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        await session(reading);
      } catch (error) {
        if (signal.aborted) return;
        show({ failure: error instanceof Error ? error.message : String(error), said: '' });
        const asked = error instanceof SourceFault ? error.retryMs : undefined;
        waitMs = asked ?? backoffMs(failures++, random, backoff);
      }
      await pause(clock, waitMs, signal);
    }
  }

  return {
    log,
    start(position, sink) {
      running = run(position, sink);
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => resolve();
    signal.addEventListener('abort', done, { once: true });
    work.then(done, reject).finally(() => signal.removeEventListener('abort', done));
  });
}

/** Resolves after so long, or when it is aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.after(delayMs, done);
    function done(): void {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
}
