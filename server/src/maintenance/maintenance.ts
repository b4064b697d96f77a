import type { Principal } from '../access/access.ts';
import type { Attributes } from '../agents/selector.ts';
import type { AlertSubject } from '../alerts/alert.ts';

/** A time in which agents may be away and ill without anybody being told. */
export interface Maintenance {
  readonly id: string;
  /** The MaintenanceWindow that it is an occurrence of; empty: a person started it. */
  readonly window: string;
  /** Which agents, as it was written. */
  readonly on: string;
  readonly reason: string;
  readonly startedBy: string;
  readonly createdAt: Date;
  readonly startsAt: Date;
  readonly endsAt: Date;
  /** When it really ended. */
  readonly endedAt: Date | undefined;
  /** Who ended it before its time. */
  readonly endedBy: string;
}

export type Phase = 'scheduled' | 'active' | 'ended';

export function phaseOf({ startsAt, endsAt, endedAt }: Maintenance, now: Date): Phase {
  if (endedAt !== undefined || endsAt <= now) return 'ended';
  return startsAt > now ? 'scheduled' : 'active';
}

/** An alert that was raised under a maintenance. */
export interface SuppressedAlert {
  readonly id: string;
  readonly subject: AlertSubject;
  readonly agentName: string;
  readonly title: string;
  readonly raisedAt: Date;
  readonly closed: boolean;
}

export interface MaintenanceView {
  readonly maintenance: Maintenance;
  readonly phase: Phase;
  /** Agents that it selects now; of an ended one 0. */
  readonly agents: number;
  /** Alerts that were raised under it. */
  readonly suppressed: number;
}

export interface MaintenanceRequest {
  readonly on: string;
  readonly forMs: number;
  readonly reason: string;
  /** undefined: now. */
  readonly startsAt: Date | undefined;
}

/** Who came into maintenance, and who is in none any more. */
export interface MaintenanceChange {
  readonly entered: readonly string[];
  readonly left: readonly string[];
}

export interface MaintenanceService {
  /** @throws OpenlineError TARGETS_INVALID, NO_TARGETS, REQUEST_INVALID */
  start(by: Principal, request: MaintenanceRequest): Promise<MaintenanceView>;
  /** @throws OpenlineError MAINTENANCE_UNKNOWN, REQUEST_INVALID it has ended */
  end(by: Principal, id: string): Promise<MaintenanceView>;
  /** @throws OpenlineError MAINTENANCE_UNKNOWN, REQUEST_INVALID it has ended, or would last too long */
  extend(by: Principal, id: string, byMs: number): Promise<MaintenanceView>;
  /** Newest first. */
  list(query: { ended: boolean; limit: number; pageToken: string }): Promise<{
    maintenances: readonly MaintenanceView[];
    nextPageToken: string;
    /** The next occurrence of each window, the soonest first; with the first page only. */
    upcoming: readonly MaintenanceView[];
  }>;
  /** @throws OpenlineError MAINTENANCE_UNKNOWN */
  get(id: string): Promise<MaintenanceView & { names: readonly string[]; alerts: readonly SuppressedAlert[] }>;
  /** Id of the maintenance of each that is in one; of several the one that ends last. From memory. */
  of(agentIds: readonly string[]): ReadonlyMap<string, string>;
  /** An agent has said Hello: its labels may be others. */
  hello(agent: Attributes): void;
  onChange(listener: (change: MaintenanceChange) => void): void;
  /** Looks at the clock and at the store. Called by its own timer; tests call it themselves. */
  tick(): Promise<void>;
  stop(): void;
}
