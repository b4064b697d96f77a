import type { NodeEvent, Severity } from '@openline/packs';
import type { Tx } from '../db/transaction.ts';
import type { Alert, AlertChange, AlertSubject } from './alert.ts';
import type { AlertCommand } from './machine.ts';

/** What somebody wants to happen to the alert of a subject. */
export type AlertAction =
  | AlertRaise
  /** Changes the severity of the open alert; nothing when there is none, or when it has that severity. */
  | { readonly kind: 'severity'; readonly subject: AlertSubject; readonly severity: Severity; readonly by: string }
  /** Its agent is in maintenance no more: the open alert counts as any other from now on. Nothing when it does already. */
  | { readonly kind: 'surface'; readonly subject: AlertSubject; readonly by: string; readonly comment: string }
  /** Closes the open alert; nothing when there is none. */
  | { readonly kind: 'close'; readonly subject: AlertSubject; readonly by: string; readonly comment: string };

/** Opens an alert for the subject or, when one is open, counts a repeat. */
export interface AlertRaise {
  readonly kind: 'raise';
  readonly subject: AlertSubject;
  readonly severity: Severity;
  /**
   * What becomes of an open alert with another severity. `rise`: it only gets worse (the default, and what rules do). `follow`: it has
   * the severity of the last raise, and one that only changes it is no repeat (monitors, lines).
   */
  readonly severityMay?: 'rise' | 'follow';
  /** The newest wording is kept. */
  readonly title: string;
  readonly description: string;
  /** How often it happened; default 1. */
  readonly times?: number;
  /** Who says it: the name of the watch. */
  readonly by: string;
  /** The newest events behind it, the newest last; the newest 20 of an alert are kept. */
  readonly behind?: readonly NodeEvent[];
  /** Of subjects that are no agent's (`agentId` ''): otherwise both are the agent's own. */
  readonly group?: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
}

/** Called within the transaction that makes the changes: what it writes is committed with them, or not at all. What it throws undoes them. */
export type AlertHook = (tx: Tx, changes: readonly AlertChange[]) => Promise<void>;

/**
 * The one place that changes alerts. Sets, not single ones: a thousand actions cost a handful of statements.
 * Actions on one subject take effect in their order; agents that are deleted meanwhile are left out.
 */
export interface AlertDesk {
  /**
   * @param tx the transaction to do it in; absent: one of its own
   * @throws OpenlineError STORE_UNAVAILABLE nothing was changed
   */
  apply(actions: readonly AlertAction[], tx?: Tx): Promise<Applied>;
  /**
   * What a person does to alerts that are named. @returns them as they are now (unknown ids are left out), and why nothing was changed of some
   */
  command(
    ids: readonly string[],
    by: string,
    command: AlertCommand,
    tx: Tx,
  ): Promise<{ readonly alerts: readonly Alert[]; readonly unchanged: ReadonlyMap<string, string> }>;
  /** The agent will not come back: closes all of its alerts. */
  closeOf(agentId: string, by: string, comment: string): Promise<void>;
  /** Writes into the history of alerts, open or closed, what was done in answer to them. */
  note(notes: readonly { alertId: string; by: string; comment: string }[], tx: Tx): Promise<void>;
  /** Registers a hook. In the order of registration; before the server lets agents in. */
  onChanges(hook: AlertHook): void;
  /** The open alerts of a kind, e.g. to find at the start which lines are known to be down. */
  open(kind: AlertSubject['kind'], tx?: Tx): Promise<readonly Alert[]>;
  readonly hub: AlertHub;
}

export interface Applied {
  /** What changed, in order. Hooks were called with it; watchers hear of it after the commit. */
  readonly changes: readonly AlertChange[];
  /** For each action the alert that it was about, as it is after all of them; undefined where there was none. */
  readonly alerts: readonly (Alert | undefined)[];
}

/** Tells watchers, in this process, what was committed. */
export interface AlertHub {
  publish(changes: readonly AlertChange[]): void;
  /** @returns a function that ends the subscription */
  subscribe(listener: (changes: readonly AlertChange[]) => void): () => void;
}

/**
 * Which of these agents are in maintenance now: agent id → id of the maintenance. Asked whenever alerts are raised; must be quick
 * (answer from memory) and not wait for the transaction that raises them.
 */
export type MaintenanceOf = (agentIds: readonly string[]) => Promise<ReadonlyMap<string, string>>;
