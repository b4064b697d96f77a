import { SEVERITIES, type Severity } from '@openline/packs';
import type { Alert, AlertChangeKind } from './alert.ts';
import type { AlertAction, AlertRaise } from './alerts.ts';

/** The life of an alert: new → acknowledged → closed, and what happens to it on the way. Pure. */

/** The part of an alert that changes. */
export type AlertLife = Pick<
  Alert,
  | 'severity'
  | 'title'
  | 'description'
  | 'state'
  | 'owner'
  | 'count'
  | 'firstAt'
  | 'lastAt'
  | 'closedAt'
  | 'maintenanceId'
>;

/** What a person does to an alert. */
export type AlertCommand =
  | { readonly kind: 'acknowledge'; readonly comment: string }
  /** @param owner '' for nobody */
  | { readonly kind: 'assign'; readonly owner: string; readonly comment: string }
  | { readonly kind: 'comment'; readonly comment: string }
  | { readonly kind: 'close'; readonly comment: string };

export interface Step {
  readonly life: AlertLife;
  readonly change: AlertChangeKind;
  readonly comment: string;
}

/** @param open the open alert of the subject, if there is one. @returns undefined when nothing changes */
export function act(open: AlertLife | undefined, action: AlertAction, at: Date): Step | undefined {
  switch (action.kind) {
    case 'raise':
      return open === undefined ? opened(action, at) : raisedAgain(open, action, at);
    case 'severity':
      if (open === undefined || open.severity === action.severity) return undefined;
      return withSeverity({ ...open, lastAt: at }, action.severity);
    case 'surface':
      if (open === undefined || open.maintenanceId === '') return undefined;
      return { life: { ...open, maintenanceId: '' }, change: 'surfaced', comment: action.comment };
    case 'close':
      return open === undefined ? undefined : closed(open, action.comment, at);
    default:
      return action satisfies never;
  }
}

/** @returns in words why nothing was changed, when it was not */
export function command(life: AlertLife, by: string, command: AlertCommand, at: Date): Step | string {
  const { comment } = command;
  switch (command.kind) {
    case 'comment':
      return { life, change: 'commented', comment };
    case 'close':
      return life.state === 'closed' ? 'it was closed before' : closed(life, comment, at);
    case 'acknowledge':
      if (life.state === 'closed') return 'it is closed';
      if (life.state === 'acknowledged' && comment !== '') return { life, change: 'commented', comment };
      if (life.state === 'acknowledged') return 'it was acknowledged before';
      // Whoever says that they have seen it has it, until it is given to somebody else.
      return {
        life: { ...life, state: 'acknowledged', owner: life.owner === '' ? by : life.owner },
        change: 'acknowledged',
        comment,
      };
    case 'assign':
      if (life.state === 'closed') return 'it is closed';
      if (life.owner === command.owner && comment !== '') return { life, change: 'commented', comment };
      if (life.owner === command.owner)
        return command.owner === '' ? 'nobody has it' : `${command.owner} has it already`;
      return { life: { ...life, owner: command.owner }, change: 'assigned', comment };
    default:
      return command satisfies never;
  }
}

function opened({ severity, title, description, times = 1 }: AlertRaise, at: Date): Step {
  const life: AlertLife = {
    severity,
    title,
    description,
    state: 'new',
    owner: '',
    count: times,
    firstAt: at,
    lastAt: at,
    closedAt: undefined,
    maintenanceId: '',
  };
  return { life, change: 'raised', comment: '' };
}

function raisedAgain(open: AlertLife, action: AlertRaise, at: Date): Step {
  const { title, description, times = 1 } = action;
  const follows = action.severityMay === 'follow';
  const severity = follows ? action.severity : worse(open.severity, action.severity);
  const life = { ...open, title, description, lastAt: at };
  if (severity === open.severity) {
    return { life: { ...life, count: open.count + times }, change: 'repeated', comment: '' };
  }
  return withSeverity(follows ? life : { ...life, count: open.count + times }, severity);
}

function withSeverity(life: AlertLife, severity: Severity): Step {
  return { life: { ...life, severity }, change: 'severity', comment: `${life.severity} → ${severity}` };
}

function closed(life: AlertLife, comment: string, at: Date): Step {
  return { life: { ...life, state: 'closed', closedAt: at }, change: 'closed', comment };
}

export function worse(a: Severity, b: Severity): Severity {
  return SEVERITIES.indexOf(a) >= SEVERITIES.indexOf(b) ? a : b;
}
