import { EXIT } from '../failure.ts';
import type { Io } from '../io.ts';

export interface Interrupts {
  /** The first signal that came, if one did. */
  readonly signal: 'SIGINT' | 'SIGTERM' | undefined;
  readonly exitCode: number;
  close(): void;
}

/** @returns 128 and the number of the signal, as any Unix tool ends */
export function interruptedBy(signal: 'SIGINT' | 'SIGTERM' | undefined): number {
  return signal === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted;
}

/** For a watch that has no end of its own: what aborts it, and how the process then ends (0: nobody interrupted it). */
export function stopOnInterrupt(io: Pick<Io, 'onInterrupt'>) {
  const stop = new AbortController();
  let exitCode: number = EXIT.ok;
  const close = io.onInterrupt((signal) => {
    exitCode = interruptedBy(signal);
    stop.abort();
  });
  return {
    signal: stop.signal,
    get exitCode() {
      return exitCode;
    },
    close,
  };
}

/** Wrappers (`timeout`, npm) pass on a signal that the terminal has given to the whole group already: that is one Ctrl-C, not two. */
const SAME_PRESS_MS = 250;

/**
 * What Ctrl-C means while a run is watched. The first one stops the watching (the run goes on), or, with `cancel`, cancels the run and
 * watches on until it has ended. The second one ends the process at once.
 */
export function createInterrupts(deps: {
  io: Pick<Io, 'onInterrupt' | 'exitNow' | 'nowMs'>;
  cancel: (() => Promise<void>) | undefined;
  say: (text: string) => void;
  stop: () => void;
  /** Gives the terminal back before the process ends at once. */
  beforeExit: () => void;
}): Interrupts {
  let first: 'SIGINT' | 'SIGTERM' | undefined;
  let firstMs = 0;
  const close = deps.io.onInterrupt((signal) => {
    if (first !== undefined) {
      if (deps.io.nowMs() - firstMs < SAME_PRESS_MS) return;
      deps.beforeExit();
      deps.io.exitNow(interruptedBy(first));
      return;
    }
    first = signal;
    firstMs = deps.io.nowMs();
    if (deps.cancel === undefined) {
      deps.stop();
      return;
    }
    deps.say('interrupted: cancelling the run and waiting for its ends (once more to leave at once)');
    deps.cancel().catch((error: unknown) => {
      deps.say(`the run could not be cancelled: ${error instanceof Error ? error.message : String(error)}`);
      deps.stop();
    });
  });
  return {
    get signal() {
      return first;
    },
    get exitCode() {
      return interruptedBy(first);
    },
    close,
  };
}
