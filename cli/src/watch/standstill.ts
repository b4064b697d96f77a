/**
 * Notices that output which should be there does not come. Only the time counts in which we wait for it: whoever reads what we write may
 * be as slow as he likes.
 */
export interface Standstill {
  /** Aborts when nothing came for so long. */
  readonly signal: AbortSignal;
  /** From now on it should be there. */
  begin(): void;
  /** Passes on what comes. */
  watch<T>(parts: AsyncIterable<T>): AsyncGenerator<T>;
}

/** The server itself stops waiting for output 10 s after the last of it came; after this long it does not answer. Milliseconds. */
const STANDSTILL_MS = 15_000;

export function createStandstill(afterMs = STANDSTILL_MS): Standstill {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let begun = false;
  let waiting = false;
  function set(isWaiting: boolean): void {
    waiting = isWaiting;
    clearTimeout(timer);
    if (begun && waiting) timer = setTimeout(() => stop.abort(), afterMs);
  }
  return {
    signal: stop.signal,
    begin() {
      begun = true;
      set(waiting);
    },
    async *watch(parts) {
      try {
        set(true);
        for await (const part of parts) {
          set(false);
          yield part;
          set(true);
        }
      } finally {
        set(false);
      }
    },
  };
}
