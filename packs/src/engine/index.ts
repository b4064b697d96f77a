import type { Pack } from '../pack.ts';
import { createEngineOf } from './engine.ts';
import { recoveryHolds } from './recovery.ts';
import { sampleOfProcess } from './sample.ts';
import type { About, Engine, EngineState, EngineStateChange, WatchOverride } from './types.ts';
import { type CompiledWatches, compile, overrideProblems } from './watches.ts';

export type * from './outcome.ts';
export type * from './types.ts';
export { overrideProblems, recoveryHolds, sampleOfProcess };

/**
 * What packs watch for, applied to what an agent sees. Deterministic: no I/O, no clock, no chance; time is unix milliseconds, given by the
 * caller, and may jump either way.
 */

/** What holds here, ready to run. `rules` and `monitors` are the engine's own. */
export type Watches = CompiledWatches;

/** What holds on this agent. Expressions were checked when the packs were parsed; overrides are checked here. */
export function compileWatches(packs: readonly Pack[], about: About, overrides: readonly WatchOverride[]): Watches {
  return compile(packs, about, overrides);
}

/** @param saved `state()` of an engine before, or its changes put together; what no longer fits the watches is forgotten */
export function createEngine(watches: Watches, saved: EngineState = {}): Engine {
  return createEngineOf(watches, saved);
}

/** Puts a change on top of a state, as a spool does that keeps the changes. */
export function applyChange(state: EngineState, change: EngineStateChange): EngineState {
  const next: Record<string, unknown> = { ...state, ...change.set };
  for (const key of change.removed) delete next[key];
  return next;
}
