export interface EventuallyOptions {
  /** Completes "still waiting for …" in the error. */
  readonly what: string;
  /** Default 40 000. */
  readonly timeoutMs?: number;
  /** Default 25. */
  readonly intervalMs?: number;
}

/**
 * Asks until the answer is neither undefined nor false, and returns it. A question that throws is asked again.
 * @throws Error after timeoutMs, with what was awaited and what the last question threw
 */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  { what, timeoutMs = 40_000, intervalMs = 25 }: EventuallyOptions,
): Promise<Exclude<T, undefined | false>> {
  const deadlineMs = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (isAnswer(answer)) return answer;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`still waiting for ${what} after ${timeoutMs} ms`, { cause: lastError });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

function isAnswer<T>(answer: T): answer is Exclude<T, undefined | false> {
  return answer !== undefined && answer !== false;
}
