import type { WatchHealth, WatchRef } from './outcome.ts';

const MAX_ERROR_CHARS = 300;

/** How one watch fares, counted since the engine was made. */
export class Trouble {
  readonly #watch: WatchRef;
  #errors = 0;
  #lastError = '';
  #evicted = 0;

  constructor(watch: WatchRef) {
    this.#watch = watch;
  }

  readonly failed = (error: unknown): void => {
    this.#errors++;
    // The library's own sentence; its message draws the expression, too.
    const summary = typeof error === 'object' && error !== null && 'summary' in error ? error.summary : undefined;
    const text = summary ?? (error instanceof Error ? error.message : error);
    this.#lastError = String(text).slice(0, MAX_ERROR_CHARS);
  };

  readonly evicted = (): void => {
    this.#evicted++;
  };

  /** @returns what `work` gives, or undefined when it throws, which is counted */
  attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.failed(error);
      return undefined;
    }
  }

  health(): WatchHealth {
    return { watch: this.#watch, errors: this.#errors, lastError: this.#lastError, evicted: this.#evicted };
  }
}
