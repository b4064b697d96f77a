import type { Severity } from '@openline/packs';

export type AlertState = 'new' | 'acknowledged' | 'closed';

/** What an alert is about. One alert is open for each of them at a time; what happens again meanwhile is counted as a repeat. */
export interface AlertSubject {
  /** `rule` and `monitor`: a watch of a pack on an agent. `line`: the server's own view of an agent's line, or of a group of them. */
  readonly kind: 'rule' | 'monitor' | 'line';
  /** Empty for a group of agents. */
  readonly agentId: string;
  /** "pack/watch", or for `line`: "agent", "executor", or "group". */
  readonly watch: string;
  /** Suppression key, instance, or the group's "label=value"; may be empty. */
  readonly key: string;
}

export interface Alert {
  readonly id: string;
  readonly subject: AlertSubject;
  readonly agentName: string;
  /** Of the agent, when it was raised: what subscriptions and roles select by. */
  readonly labels: Readonly<Record<string, string>>;
  readonly severity: Severity;
  readonly title: string;
  readonly description: string;
  readonly state: AlertState;
  readonly owner: string;
  /** How often it happened, at least 1. */
  readonly count: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
  readonly closedAt: Date | undefined;
  /** The maintenance under which it was raised, and which lasts: recorded, counted, and nobody is notified. Empty: none. */
  readonly maintenanceId: string;
}

/**
 * `repeated` is told to hooks and watchers and counted in the alert, but is no row of its history: a flood would have no bound there.
 * `answered`: a task was run in answer, or has ended; the comment says which and how.
 * `surfaced`: the maintenance under which it was raised is over, and it is still open: to those who are told of alerts it is raised only now.
 */
export type AlertChangeKind =
  | 'raised'
  | 'repeated'
  | 'severity'
  | 'acknowledged'
  | 'assigned'
  | 'commented'
  | 'answered'
  | 'surfaced'
  | 'closed';

/** What happened to an alert. */
export interface AlertChange {
  /** Never used twice; rising in the order in which the changes of one alert were committed. Below 2^53. */
  readonly id: number;
  /** As it is after the change. */
  readonly alert: Alert;
  readonly kind: AlertChangeKind;
  readonly at: Date;
  /** Who did it; the name of the watch when nobody. */
  readonly by: string;
  readonly comment: string;
}
