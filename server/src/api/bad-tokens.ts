const WINDOW_MS = 60_000;
const FREE_FAILURES = 5;
const PAUSE_MS = 1_000;
const MAX_ADDRESSES = 10_000;

/**
 * Slows down an address that keeps sending bad tokens, without ever refusing a good one: behind one address there may be many people.
 * A token cannot be guessed, so this only keeps the log and the database quiet.
 */
export class BadTokens {
  readonly #failures = new Map<string, number>();
  #windowStartMs = Number.NEGATIVE_INFINITY;

  /** @returns how long the answer should wait, and whether this is the first failure of the address within a minute */
  failed(address: string, nowMs: number): { pauseMs: number; first: boolean } {
    if (nowMs - this.#windowStartMs >= WINDOW_MS || this.#failures.size >= MAX_ADDRESSES) {
      this.#failures.clear();
      this.#windowStartMs = nowMs;
    }
    const count = (this.#failures.get(address) ?? 0) + 1;
    this.#failures.set(address, count);
    return { pauseMs: count > FREE_FAILURES ? PAUSE_MS : 0, first: count === 1 };
  }
}
