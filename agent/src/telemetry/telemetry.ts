import type { HostPort } from '@openline/proto/host-port';
import type { Identity } from '../enrollment/identity.ts';
import type { Link, LinkObserver } from '../link/link.ts';
import type { PackLibrary } from '../packs/library.ts';
import type { Rules, RulesObserver } from '../rules/rules.ts';
import type { Clock } from '../tasks/clock.ts';
import type { EngineObserver, TaskEngine } from '../tasks/engine.ts';
import type { Log } from './log.ts';

export interface TelemetryDeps {
  readonly log: Log;
  readonly clock: Clock;
}

/** What is read off when somebody asks. */
export interface TelemetryParts {
  readonly identity: () => Identity;
  readonly link: Pick<Link, 'state'>;
  readonly engine: Pick<TaskEngine, 'health'>;
  readonly rules: Pick<Rules, 'health' | 'spooledBytes'>;
  readonly packs: Pick<PackLibrary, 'held'>;
}

/** The agent as metrics and probes show it. */
export interface Telemetry {
  readonly link?: LinkObserver;
  readonly engine?: EngineObserver;
  readonly rules?: RulesObserver;
  /** The agent has an identity, and is made. */
  made(parts: TelemetryParts): void;
  stop(): Promise<void>;
}

const NONE: Telemetry = { made() {}, stop: () => Promise.resolve() };

/**
 * Nothing is loaded, and nothing measured, where nobody asks for it: it is memory.
 * @param listen undefined: nobody asks
 * @throws OpenlineError PORT_IN_USE, CONFIG_INVALID
 */
export async function startTelemetry(deps: TelemetryDeps, listen: HostPort | undefined): Promise<Telemetry> {
  if (listen === undefined) return NONE;
  const { serveTelemetry } = await import('./serve.ts');
  return serveTelemetry(deps, listen);
}
