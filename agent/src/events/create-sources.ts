import type { Clock, EngineLog } from '../tasks/clock.ts';
import { createAgentLogSource } from './agent-log/source.ts';
import type { EventsConfig } from './config.ts';
import type { EventSource } from './source.ts';

export interface SourceDeps {
  readonly clock: Clock;
  /** [0, 1) */
  readonly random: () => number;
  readonly log: EngineLog;
}

/** The logs that this agent reads, as configured and as they are there. None of them is started. */
export function createSources(config: EventsConfig, deps: SourceDeps): readonly EventSource[] {
  return [createAgentLogSource(deps, config)];
}
