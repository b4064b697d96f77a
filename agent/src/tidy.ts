import type { Clock, Timer } from './tasks/clock.ts';

/**
 * Has V8 give back what it keeps of code that ran once, and of garbage that nothing presses it to collect: a tenth of an idle agent. It takes some
 * tens of milliseconds, so it is done seldom, and not while there is work.
 */
export interface Tidying {
  stop(): void;
}

export interface TidyingDeps {
  readonly clock: Clock;
  /** Whether nothing runs that would have to wait. */
  readonly idle: () => boolean;
  /** Default: V8's, where the process has it (lean.ts); else nothing is done. */
  readonly collect?: (() => unknown) | undefined;
}

/** Packs are read by then, and each probe has run. */
const FIRST_MS = 45_000;
const EVERY_MS = 600_000;
/** When there was work just then. */
const RETRY_MS = 5_000;

export function startTidying({ clock, idle, collect = collector() }: TidyingDeps): Tidying {
  let timer: Timer | undefined;
  function tidy(): void {
    const now = idle();
    if (now) collect?.();
    timer = clock.after(now ? EVERY_MS : RETRY_MS, tidy);
  }
  if (collect !== undefined) timer = clock.after(FIRST_MS, tidy);
  return { stop: () => timer?.cancel() };
}

function collector(): (() => unknown) | undefined {
  const { gc } = globalThis;
  return gc && (() => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' }));
}
