const MIB = 1024 * 1024;
/** Parameters of all that one agent has in hand. Its queue takes 64 MiB of what waits (docs/limits.md). */
const MAX_BYTES = 48 * MIB;

/**
 * What one agent has in hand: the runs that may have reached it and whose end is not committed. It never gets more than its Hello has room
 * for. There are ten thousand of these, and most hold nothing or one run, which costs no more than a field.
 */
export class Load {
  #places = Number.POSITIVE_INFINITY;
  #refillAt = Number.POSITIVE_INFINITY;
  /** The id of the only run, or the bytes of each. */
  #runs: string | Map<string, number> | undefined;
  #bytes = 0;
  /** Until it is known what the agent had before: what has ended since the store began to look. */
  #endedEarly: Set<string> | undefined = new Set();

  /** @param capacity 0: an older agent, which does not say how much it takes */
  hello({ capacity, queueLimit }: { readonly capacity: number; readonly queueLimit: number }): void {
    if (capacity === 0) return;
    this.#places = capacity + queueLimit;
    // Half a queue at a time: one look into the store for many runs.
    this.#refillAt = this.#places - Math.max(1, Math.floor(queueLimit / 2));
  }

  /** What the store says that it has from before is in. */
  get isKnown(): boolean {
    return this.#endedEarly === undefined;
  }

  /** @param runs what the agent has from before this session */
  settle(runs: Iterable<readonly [runId: string, bytes: number]>): void {
    const ended = this.#endedEarly;
    this.#endedEarly = undefined;
    for (const [runId, bytes] of runs) if (ended?.has(runId) !== true) this.add(runId, bytes);
  }

  get size(): number {
    if (this.#runs === undefined) return 0;
    return typeof this.#runs === 'string' ? 1 : this.#runs.size;
  }

  has(runId: string): boolean {
    return this.#runs === runId || (this.#runs instanceof Map && this.#runs.has(runId));
  }

  /** @param bytes of the run's parameters */
  fits(bytes: number): boolean {
    return this.isKnown && this.size < this.#places && this.#bytes + bytes <= MAX_BYTES;
  }

  /** @returns whether it may be handed over: it is in already, or there was a place for it */
  take(runId: string, bytes: number): boolean {
    if (this.has(runId)) return true;
    if (!this.fits(bytes)) return false;
    this.add(runId, bytes);
    return true;
  }

  /** What may be handed over now. */
  get room(): { readonly places: number; readonly bytes: number } {
    return { places: Math.max(0, this.#places - this.size), bytes: MAX_BYTES - this.#bytes };
  }

  /** So much has ended that it pays to look for more. */
  get isLow(): boolean {
    return this.isKnown && this.size <= this.#refillAt;
  }

  add(runId: string, bytes: number): void {
    if (this.has(runId)) return;
    if (this.#runs === undefined) this.#runs = runId;
    else {
      if (typeof this.#runs === 'string') this.#runs = new Map([[this.#runs, this.#bytes]]);
      this.#runs.set(runId, bytes);
    }
    this.#bytes += bytes;
  }

  end(runId: string): void {
    this.#endedEarly?.add(runId);
    if (this.#runs === runId) {
      this.#runs = undefined;
      this.#bytes = 0;
    } else if (this.#runs instanceof Map) {
      this.#bytes -= this.#runs.get(runId) ?? 0;
      this.#runs.delete(runId);
      if (this.#runs.size === 0) this.#runs = undefined;
    }
  }
}
