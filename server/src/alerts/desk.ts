import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import { createQuery } from '../db/query.ts';
import { violatedUnique } from '../db/store-errors.ts';
import { inTransaction, Overtaken, type Tx } from '../db/transaction.ts';
import type { Alert, AlertChange, AlertSubject } from './alert.ts';
import {
  type AgentAbout,
  countOpen,
  type HeldAlert,
  type HeldChange,
  lockByIds,
  lockOpen,
  readAgents,
  readOpen,
  readSubjects,
  subjectKey,
  watchKey,
  write,
} from './alert-store.ts';
import type { AlertAction, AlertDesk, AlertHook, AlertHub, Applied, MaintenanceOf } from './alerts.ts';
import { act, command, type Step } from './machine.ts';

export interface AlertDeskDeps {
  readonly pool: Pool;
  readonly clock: Pick<Clock, 'now'>;
  readonly hub: AlertHub;
  readonly maintenanceOf: MaintenanceOf;
}

/**
 * Open alerts of one watch on one agent. A rule whose key is different every time would otherwise fill the list without bound: what is
 * beyond is counted in one alert more.
 */
const MAX_OPEN_OF_WATCH = 500;
export const MORE_KEY = '(more)';

export function createAlertDesk({ pool, clock, hub, maintenanceOf }: AlertDeskDeps): AlertDesk {
  const hooks: AlertHook[] = [];

  async function finish(tx: Tx, held: readonly HeldAlert[], steps: readonly HeldChange[], now: Date) {
    if (steps.length === 0) return [];
    const ids = await writeAll(tx, held, steps, now);
    const changes = steps.map((step): AlertChange => {
      const { held, after, kind, by, comment } = step;
      return { id: ids.get(step) ?? 0, alert: { ...after, id: String(held.id) }, kind, at: now, by, comment };
    });
    for (const hook of hooks) await hook(tx, changes);
    tx.afterCommit(() => hub.publish(changes));
    return changes;
  }

  async function applyIn(tx: Tx, given: readonly AlertAction[]): Promise<Applied> {
    if (given.length === 0) return { changes: [], alerts: [] };
    const now = clock.now();
    const open = await lockOpen(tx, distinctSubjects(given));
    const actions = await withinBounds(tx, given, open);
    const agentIds = agentsOfNewcomers(actions, open);
    const [agents, maintained] =
      agentIds.length === 0
        ? [new Map<string, AgentAbout>(), new Map<string, string>()]
        : [await readAgents(tx, agentIds), await maintenanceOf(agentIds)];

    const touched = new Set<HeldAlert>();
    const steps: HeldChange[] = [];
    const about: (HeldAlert | undefined)[] = [];
    for (const action of actions) {
      const key = subjectKey(action.subject);
      let held = open.get(key);
      const step = act(held?.alert, action, now);
      if (step !== undefined) {
        if (held !== undefined) held.alert = { ...held.alert, ...step.life };
        else held = bornFrom(action, step, agents, maintained);
        if (held === undefined) {
          about.push(undefined);
          continue;
        }
        if (held.alert.state === 'closed') open.delete(key);
        else open.set(key, held);
        touched.add(held);
        steps.push({ held, after: held.alert, kind: step.change, by: action.by, comment: step.comment });
      }
      if (held !== undefined && action.kind === 'raise' && action.behind !== undefined) {
        held.newEvents.push(...action.behind);
        held.behind += action.behind.length;
      }
      about.push(held);
    }
    const changes = await finish(tx, [...touched], steps, now);
    return { changes, alerts: about.map(toAlert) };
  }

  async function commandIn(tx: Tx, ids: readonly string[], by: string, what: Parameters<AlertDesk['command']>[2]) {
    const now = clock.now();
    const held = await lockByIds(tx, ids.map(Number));
    const steps: HeldChange[] = [];
    const unchanged = new Map<string, string>();
    for (const id of ids) {
      const one = held.get(Number(id));
      const step = one === undefined ? undefined : command(one.alert, by, what, now);
      if (one === undefined || step === undefined) continue;
      if (typeof step === 'string') {
        unchanged.set(id, step);
        continue;
      }
      one.alert = { ...one.alert, ...step.life };
      steps.push({ held: one, after: one.alert, kind: step.change, by, comment: step.comment });
    }
    await finish(
      tx,
      steps.map((step) => step.held),
      steps,
      now,
    );
    return { alerts: [...held.values()].map((one) => ({ ...one.alert, id: String(one.id) })), unchanged };
  }

  return {
    hub,
    apply: (actions, tx) =>
      tx === undefined ? inTransaction(pool, (own) => applyIn(own, actions)) : applyIn(tx, actions),
    command: (ids, by, what, tx) => commandIn(tx, ids, by, what),
    closeOf: (agentId, by, comment) =>
      inTransaction(pool, async (tx) => {
        const subjects = await readSubjects(tx, agentId);
        await applyIn(
          tx,
          subjects.map((subject) => ({ kind: 'close', subject, by, comment })),
        );
      }),
    async note(notes, tx) {
      const held = await lockByIds(
        tx,
        notes.map(({ alertId }) => Number(alertId)),
      );
      const steps = notes.flatMap(({ alertId, by, comment }): HeldChange[] => {
        const one = held.get(Number(alertId));
        return one === undefined ? [] : [{ held: one, after: one.alert, kind: 'answered', by, comment }];
      });
      await finish(tx, [], steps, clock.now());
    },
    onChanges: (hook) => void hooks.push(hook),
    open: (kind, tx) => readOpen(tx?.query ?? createQuery(pool), kind),
  };
}

/** Whose alerts may be opened by these: those that have none, or whose alert is closed on the way. */
function agentsOfNewcomers(actions: readonly AlertAction[], open: ReadonlyMap<string, HeldAlert>): string[] {
  const closing = new Set(actions.filter(({ kind }) => kind === 'close').map(({ subject }) => subjectKey(subject)));
  const opening = actions.filter(({ kind, subject }) => {
    const key = subjectKey(subject);
    return kind === 'raise' && subject.agentId !== '' && (!open.has(key) || closing.has(key));
  });
  return [...new Set(opening.map(({ subject }) => subject.agentId))];
}

/** One statement, unless an alert is closed and another of its subject opened: the first is to be written before the second. */
async function writeAll(
  tx: Tx,
  held: readonly HeldAlert[],
  steps: readonly HeldChange[],
  now: Date,
): Promise<ReadonlyMap<HeldChange, number>> {
  const known = held.filter((h) => h.id !== undefined && h.alert.state === 'closed');
  const closed = new Set(known.map((h) => subjectKey(h.alert.subject)));
  const replacing = new Set(held.filter((h) => h.id === undefined && closed.has(subjectKey(h.alert.subject))));
  const ids = new Map<HeldChange, number>();
  try {
    for (const later of [false, true]) {
      const changes = steps.filter((step) => replacing.has(step.held) === later);
      if (changes.length === 0) continue;
      const written = await write(
        tx,
        held.filter((h) => replacing.has(h) === later),
        changes,
        now,
      );
      for (const [i, change] of changes.entries()) ids.set(change, written[i] ?? 0);
    }
  } catch (error) {
    if (violatedUnique(error) === 'alerts_open') throw new Overtaken('another transaction opened the same alert');
    throw error;
  }
  return ids;
}

function bornFrom(
  { subject, ...action }: AlertAction,
  { life }: Step,
  agents: ReadonlyMap<string, AgentAbout>,
  maintained: ReadonlyMap<string, string>,
): HeldAlert | undefined {
  const group = action.kind === 'raise' ? action.group : undefined;
  const about = subject.agentId === '' ? group : agents.get(subject.agentId);
  if (about === undefined) return undefined;
  const alert = {
    ...life,
    subject,
    agentName: about.name,
    labels: about.labels,
    maintenanceId: maintained.get(subject.agentId) ?? '',
  };
  return { id: undefined, alert, was: undefined, behind: 0, newEvents: [] };
}

function toAlert(held: HeldAlert | undefined): Alert | undefined {
  return held === undefined ? undefined : { ...held.alert, id: String(held.id) };
}

function distinctSubjects(actions: readonly AlertAction[]): AlertSubject[] {
  const byKey = new Map(actions.map(({ subject }) => [subjectKey(subject), subject]));
  // In one order, whoever locks them.
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, subject]) => subject);
}

/** What would open more alerts of a watch than there may be is counted in one that stands for the rest. */
async function withinBounds(
  tx: Tx,
  actions: readonly AlertAction[],
  open: Map<string, HeldAlert>,
): Promise<readonly AlertAction[]> {
  const newcomers = new Map<string, AlertSubject>();
  for (const { kind, subject } of actions) {
    const key = subjectKey(subject);
    if (kind === 'raise' && subject.kind !== 'line' && subject.key !== '' && !open.has(key))
      newcomers.set(key, subject);
  }
  if (newcomers.size === 0) return actions;
  const watches = [...new Map([...newcomers.values()].map((subject) => [watchKey(subject), subject])).values()];
  const counts = await countOpen(tx, watches);
  const beyond = new Set<string>();
  for (const [key, subject] of newcomers) {
    const watch = watchKey(subject);
    const count = (counts.get(watch) ?? 0) + 1;
    if (count > MAX_OPEN_OF_WATCH) beyond.add(key);
    else counts.set(watch, count);
  }
  if (beyond.size === 0) return actions;
  const bounded = actions.map((action) => (beyond.has(subjectKey(action.subject)) ? standingForMore(action) : action));
  const more = distinctSubjects(bounded).filter(({ key }) => key === MORE_KEY);
  for (const [key, held] of await lockOpen(tx, more)) open.set(key, held);
  return bounded;
}

function standingForMore<Action extends AlertAction>(action: Action): Action {
  const subject = { ...action.subject, key: MORE_KEY };
  if (action.kind !== 'raise') return { ...action, subject };
  const title = `${MAX_OPEN_OF_WATCH} alerts of ${subject.watch} are open; what comes beyond is counted here`;
  return { ...action, subject, title, description: `The last one: ${action.title}` };
}
