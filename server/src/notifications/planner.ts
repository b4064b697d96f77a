import type { AlertChange } from '../alerts/alert.ts';
import type { NotificationKind } from './message.ts';
import { matches } from './subscriptions/criteria.ts';
import { nextOpening, nextTimeOfDay, type Schedule, windowEnd } from './subscriptions/schedule.ts';
import type { Digest, FollowUp, Step, Subscription, SubscriptionSpec, Unless } from './subscriptions/subscription.ts';

/** Which messages a change of an alert makes, for whom and when. Pure. */

/** Until it is sent, the alert must be that; otherwise it is not sent. '': always sent. */
export type Condition = '' | 'open' | 'unacknowledged';

export interface Planned {
  readonly subscription: string;
  readonly step: number;
  readonly kind: NotificationKind;
  readonly channel: string;
  readonly recipients: readonly string[];
  readonly dueAtMs: number;
  /** It waits for a time of day, and not for a time to pass. */
  readonly byWallClock: boolean;
  readonly condition: Condition;
  /** The message that it answers; absent: it is the first that they hear of this alert. */
  readonly rootId: string | undefined;
  /** It goes into the digest that is sent at `dueAtMs`. */
  readonly inDigest: boolean;
  /** What is said again, to the same, while nobody looks after it. */
  readonly reminder: { readonly dueAtMs: number; readonly condition: Condition } | undefined;
}

/** Somebody who is concerned by an alert already. */
export interface Thread {
  readonly subscription: string;
  readonly step: number;
  readonly channel: string;
  readonly recipients: readonly string[];
  readonly rootId: string;
  /** False: what opens it waits for its time still, and may never be sent. */
  readonly told: boolean;
}

export interface Plan {
  readonly planned: readonly Planned[];
  /** Messages that fall outside of a schedule that skips them. */
  readonly skipped: number;
}

/**
 * @param subscriptions all that hold
 * @param threads of this alert, those that were cancelled or given up left out
 */
export function plan(
  change: AlertChange,
  subscriptions: readonly Subscription[],
  threads: readonly Thread[],
  nowMs: number,
): Plan {
  // Who raised it in maintenance told nobody, so nobody hears more of it.
  if (change.alert.maintenanceId !== '') return { planned: [], skipped: 0 };
  const found: (Planned | 'skipped')[] = [];
  for (const subscription of subscriptions) {
    if (!subscription.spec.enabled) continue;
    const mine = threads.filter((thread) => thread.subscription === subscription.name);
    found.push(...planFor(subscription, change, mine, nowMs));
  }
  const planned = found.filter((each) => each !== 'skipped');
  return { planned, skipped: found.length - planned.length };
}

function planFor(
  subscription: Subscription,
  change: AlertChange,
  threads: readonly Thread[],
  nowMs: number,
): (Planned | 'skipped')[] {
  switch (change.kind) {
    case 'raised':
    // Nobody heard of it before.
    case 'surfaced':
      return opening(subscription, change, nowMs);
    case 'severity':
      // It may concern them only now.
      return threads.length === 0
        ? opening(subscription, change, nowMs)
        : followUp(subscription, 'severity', threads, nowMs);
    case 'acknowledged':
    case 'assigned':
    case 'commented':
    case 'closed':
      return followUp(subscription, change.kind, threads, nowMs);
    case 'repeated':
    case 'answered':
      return [];
    default:
      return change.kind satisfies never;
  }
}

function opening({ name, spec }: Subscription, { alert }: AlertChange, nowMs: number): (Planned | 'skipped')[] {
  if (alert.state === 'closed' || !matches(spec.criteria, alert)) return [];
  return spec.steps.flatMap((step, index): (Planned | 'skipped')[] => {
    if (alert.state === 'acknowledged' && step.unless === 'acknowledged' && step.afterMs > 0) return [];
    const digest = index === 0 ? spec.digest : undefined;
    const time = timeOf(spec.schedule, digest, nowMs + step.afterMs);
    if (time === undefined) return step.send.map(() => 'skipped');
    const condition = digest === undefined ? conditionOf(step, time.held) : '';
    const reminder = index === 0 ? firstReminder(spec, time.dueAtMs) : undefined;
    return step.send.map(
      ({ channel, to }): Planned => ({
        subscription: name,
        step: index,
        kind: 'opened',
        channel,
        recipients: to,
        dueAtMs: time.dueAtMs,
        byWallClock: time.held || digest !== undefined,
        condition,
        rootId: undefined,
        inDigest: digest !== undefined,
        reminder,
      }),
    );
  });
}

function followUp(
  { name, spec }: Subscription,
  kind: FollowUp,
  threads: readonly Thread[],
  nowMs: number,
): (Planned | 'skipped')[] {
  if (!spec.followUps.has(kind)) return [];
  return threads
    .filter(({ told }) => told)
    .map((thread) => {
      const digest = thread.step === 0 ? spec.digest : undefined;
      const time = timeOf(spec.schedule, digest, nowMs);
      if (time === undefined) return 'skipped';
      return {
        subscription: name,
        step: thread.step,
        kind,
        channel: thread.channel,
        recipients: thread.recipients,
        dueAtMs: time.dueAtMs,
        byWallClock: time.held || digest !== undefined,
        // In the morning nobody needs to hear that it got worse in the night, when it is over by then.
        condition: time.held && kind !== 'closed' && digest === undefined ? 'open' : '',
        rootId: thread.rootId,
        inDigest: digest !== undefined,
        reminder: undefined,
      };
    });
}

/** @returns undefined when it is not to be sent at all */
function timeOf(
  schedule: Schedule | undefined,
  digest: Digest | undefined,
  wantedMs: number,
): { dueAtMs: number; held: boolean } | undefined {
  const atMs = digest === undefined ? wantedMs : digestTime(digest, wantedMs);
  if (schedule === undefined) return { dueAtMs: atMs, held: false };
  const opensMs = nextOpening(schedule, atMs);
  if (opensMs === undefined || (opensMs > atMs && schedule.outside === 'skip')) return undefined;
  return { dueAtMs: opensMs, held: opensMs > atMs };
}

function digestTime(digest: Digest, ms: number): number {
  return digest.kind === 'every' ? windowEnd(digest.everyMs, ms) : nextTimeOfDay(digest.timeZone, digest.timesMs, ms);
}

function conditionOf({ afterMs, unless }: Step, held: boolean): Condition {
  if (afterMs > 0) return whileNot(unless);
  return held ? 'open' : '';
}

function whileNot(unless: Unless): Condition {
  return unless === 'acknowledged' ? 'unacknowledged' : 'open';
}

function firstReminder(spec: SubscriptionSpec, afterMs: number): Planned['reminder'] {
  if (spec.reminder === undefined) return undefined;
  const dueAtMs = nextReminder(spec, afterMs, afterMs);
  return dueAtMs === undefined ? undefined : { dueAtMs, condition: whileNot(spec.reminder.unless) };
}

/**
 * When the reminder after the one of `lastMs` is due: a whole number of intervals later, and after now.
 * @returns undefined when the subscription has none, or its schedule skips it for good
 */
export function nextReminder(
  { reminder, schedule }: SubscriptionSpec,
  lastMs: number,
  nowMs: number,
): number | undefined {
  if (reminder === undefined) return undefined;
  const intervals = Math.max(1, Math.floor((nowMs - lastMs) / reminder.everyMs) + 1);
  const wantedMs = lastMs + intervals * reminder.everyMs;
  // Of a schedule that skips, the reminders within it remain: the next one goes when it opens.
  return schedule === undefined ? wantedMs : nextOpening(schedule, wantedMs);
}
