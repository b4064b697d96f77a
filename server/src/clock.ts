/** Time as a parameter. Durations are measured with `nowMs`, which no change of the wall clock moves. */
export interface Clock {
  /** Monotonic, milliseconds. */
  nowMs(): number;
  /** The wall clock, for what people read and what is stored. */
  now(): Date;
  /** Resolves after `ms`, or early when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  now: () => new Date(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};
