export interface Backoff {
  /** Upper end of the first wait, milliseconds. */
  readonly baseMs: number;
  /** Upper end of every later wait, milliseconds. */
  readonly maxMs: number;
}

/**
 * Full jitter: uniform between nothing and a ceiling that doubles. A fleet that lost its server at one instant comes back
 * spread over the whole interval, so the wait is never zero for a fleet although it may be short for one agent.
 * @param attempt failures since the last session that held; the first is 0
 */
export function backoffMs(attempt: number, random: () => number, { baseMs, maxMs }: Backoff): number {
  // 2 ** 31 ms is beyond any ceiling; larger exponents would only overflow.
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 31));
}

/** `meanMs`, spread evenly by ± `share` of it. */
export function spreadMs(meanMs: number, share: number, random: () => number): number {
  return meanMs * (1 - share + 2 * share * random());
}
