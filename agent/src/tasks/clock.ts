/** Time as the task engine sees it. Durations come from the monotonic clock only, so that a clock set by an hour breaks no timer. */
export interface Clock {
  /** Monotonic, milliseconds. For durations. */
  nowMs(): number;
  /** Wall clock, milliseconds since 1970. For display, and for what must outlive the process. */
  unixMs(): number;
  /** @param delayMs up to 24 days, the most that the runtime takes */
  after(delayMs: number, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  after(delayMs, run) {
    const timeout = setTimeout(run, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS));
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** What the engine logs with; pino fits. Never parameter values, never output. */
export interface EngineLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
