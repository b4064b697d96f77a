export interface Backoff {
  /** Upper end of the first wait, milliseconds. */
  readonly baseMs: number;
  /** Upper end of every later wait, milliseconds. */
  readonly maxMs: number;
}

/** Slow enough that a fleet whose server was away for seconds is back seconds later, and not when the last of it has waited out a long pause. */
const GROWTH = 1.5;

/**
 * Full jitter: uniform between nothing and a ceiling that grows by half with each failure. A fleet that lost its server at one instant comes back
 * spread over the whole interval, so the wait is never zero for a fleet although it may be short for one agent.
 * @param attempt failures since the last session that held; the first is 0
 */
export function backoffMs(attempt: number, random: () => number, { baseMs, maxMs }: Backoff): number {
  // Beyond any ceiling; larger exponents would only overflow.
  return random() * Math.min(maxMs, baseMs * GROWTH ** Math.min(attempt, 60));
}

/** `meanMs`, spread evenly by ± `share` of it. */
export function spreadMs(meanMs: number, share: number, random: () => number): number {
  return meanMs * (1 - share + 2 * share * random());
}
