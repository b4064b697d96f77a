import type { ChannelSpec } from '../channels/channel.ts';

/**
 * How many messages a channel takes now: its concurrency, its rate, and whether it answers at all. While it is away, one message at a time
 * finds out whether it is back; no message's own patience is used up for that. Pure: time and chance are parameters.
 */
export class Gate {
  readonly #concurrency: number;
  readonly #rate: ChannelSpec['rate'];
  #underWay = 0;
  #tokens: number;
  #filledAtMs: number | undefined;
  #failures = 0;
  #retryAtMs = 0;
  #reason = '';

  constructor({ concurrency, rate }: Pick<ChannelSpec, 'concurrency' | 'rate'>) {
    this.#concurrency = concurrency;
    this.#rate = rate;
    this.#tokens = rate?.messages ?? 0;
  }

  /** How many may be started. */
  room(nowMs: number): number {
    if (this.#failures > 0)
      return this.#underWay === 0 && nowMs >= this.#retryAtMs ? Math.min(1, this.#allowance(nowMs)) : 0;
    return Math.max(0, Math.min(this.#concurrency - this.#underWay, this.#allowance(nowMs)));
  }

  started(nowMs: number): void {
    this.#allowance(nowMs);
    this.#underWay++;
    if (this.#rate !== undefined) this.#tokens--;
  }

  ended(): void {
    this.#underWay--;
  }

  answered(): void {
    this.#failures = 0;
    this.#reason = '';
  }

  /** @param retryAfterMs what the other side asked for */
  away(nowMs: number, random: () => number, reason: string, retryAfterMs = 0): void {
    // Several that were under way fail together: that is one failure.
    if (this.#failures === 0 || nowMs >= this.#retryAtMs) this.#failures++;
    this.#reason = reason;
    this.#retryAtMs = nowMs + Math.max(retryAfterMs, backoffMs(this.#failures, CHANNEL_BACKOFF, random));
  }

  /** Why the channel is taken to be away; undefined: it is not. */
  get fault(): string | undefined {
    return this.#failures > 0 ? this.#reason : undefined;
  }

  #allowance(nowMs: number): number {
    if (this.#rate === undefined) return Number.POSITIVE_INFINITY;
    const { messages, perMs } = this.#rate;
    const passedMs = Math.max(0, nowMs - (this.#filledAtMs ?? nowMs));
    this.#filledAtMs = nowMs;
    this.#tokens = Math.min(messages, this.#tokens + (passedMs * messages) / perMs);
    return Math.floor(this.#tokens);
  }
}

interface Limits {
  readonly baseMs: number;
  readonly maxMs: number;
}

const CHANNEL_BACKOFF: Limits = { baseMs: 500, maxMs: 30_000 };
/** Greylisting wants some minutes; a full mailbox hours. */
export const MESSAGE_BACKOFF: Limits = { baseMs: 5_000, maxMs: 15 * 60_000 };

/** @param failures at least 1 */
export function backoffMs(failures: number, { baseMs, maxMs }: Limits, random: () => number): number {
  const ceilingMs = Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30));
  return ceilingMs * (0.5 + random() / 2);
}
