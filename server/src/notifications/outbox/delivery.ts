import type { Alert } from '../../alerts/alert.ts';
import type { MaintenanceOf } from '../../alerts/alerts.ts';
import type { Clock } from '../../clock.ts';
import type { Declared } from '../../declared/declared.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Message } from '../message.ts';
import { type Delivery, NotHandedOver, reasonOf } from '../senders/sender.ts';
import type { SubscriptionSpec } from '../subscriptions/subscription.ts';
import type { Line } from './line.ts';
import type { Claimed, Ending, FinishMore, OutboxStore } from './outbox-store.ts';
import { holdsStill, messageOf, outcomeOf } from './outcome.ts';

/** How a message ended for good, or that it is tried again; for metrics. */
export type Outcome = 'sent' | 'retried' | 'dead' | 'uncertain' | 'cancelled' | 'skipped';

export interface DeliveryDeps {
  readonly store: Pick<OutboxStore, 'handOver' | 'finish'>;
  readonly subscriptions: Pick<Declared<SubscriptionSpec>, 'get'>;
  /** As they are now; those that are gone are missing. */
  readAlerts(ids: readonly string[]): Promise<ReadonlyMap<string, Alert>>;
  readonly maintenanceOf: MaintenanceOf;
  readonly clock: Clock;
  readonly random: () => number;
  newId(): string;
  /** Names this process among those that share the database. */
  readonly owner: string;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  observe(channelKind: string, outcome: Outcome, count: number): void;
  /** From the moment it was due to the answer of the other side. */
  observeDelay(channelKind: string, seconds: number): void;
}

export interface Deliverer {
  /** Works on one notification until its end, or the end of this attempt, is recorded. @param stop keeps it from waiting any longer */
  deliver(claimed: Claimed, line: Line, stop: AbortSignal): Promise<void>;
  /** One attempt, bounded in time; never throws. */
  attempt(line: Line, message: Message, stop: AbortSignal, handOver: () => Promise<void>): Promise<Delivery>;
  /** From now on nothing is recorded again and again: the database may not come back in time. */
  giveUp(): void;
}

const RECORD_RETRY_MS = 500;
/** What somebody is to be reminded of waits while its agent is in maintenance; so often it is looked at whether that is over. */
const MAINTENANCE_LOOK_MS = 30_000;

export function createDeliverer(deps: DeliveryDeps): Deliverer {
  const { store, subscriptions, clock, random, log, owner } = deps;
  let givenUp = false;

  async function deliver(claimed: Claimed, line: Line, stop: AbortSignal): Promise<void> {
    const kind = line.spec.target.kind;
    const now = claimed.condition === '' ? new Map<string, Alert>() : await deps.readAlerts(alertIdsOf(claimed));
    const unwanted = holdsStill(claimed, now);
    if (unwanted !== undefined) return record(claimed, kind, { kind: 'cancelled', reason: unwanted });
    if (await inMaintenance(claimed)) {
      const tryAt = new Date(clock.now().getTime() + MAINTENANCE_LOOK_MS);
      return record(claimed, kind, { kind: 'again', reason: 'the agent is in maintenance', tryAt, quiet: true });
    }

    const subscription = subscriptions.get(claimed.subscription)?.spec;
    const handOver = () => (line.spec.whenUncertain === 'keep' ? markHandedOver(claimed.id) : Promise.resolve());
    const delivery = await attempt(line, messageOf(claimed, now, subscription), stop, handOver);
    noteAnswer(line, claimed.channel, delivery);
    const chance = { now: clock.now(), random, newId: deps.newId };
    const { ending, ...more } = outcomeOf(delivery, claimed, line.spec, subscription, chance);
    await record(claimed, kind, ending, more);
    if (ending.kind === 'again' && delivery.kind !== 'away') noteDelay(claimed, ending.reason);
    if (delivery.kind === 'delivered') deps.observeDelay(kind, (chance.now.getTime() - claimed.dueAt.getTime()) / 1000);
  }

  /** Only what says again that something is still wrong: what was raised in maintenance is told to nobody from the beginning. */
  async function inMaintenance({ condition, items }: Claimed): Promise<boolean> {
    if (condition === '') return false;
    const agents = items.map(({ alert }) => alert.subject.agentId).filter((id) => id !== '');
    return agents.length > 0 && (await deps.maintenanceOf(agents)).size === new Set(agents).size;
  }

  async function markHandedOver(id: string): Promise<void> {
    const mine = await store.handOver(id, owner).catch((cause: unknown) => {
      throw new NotHandedOver(`that could not be recorded: ${reasonOf(cause)}`, { cause });
    });
    if (!mine) throw new NotHandedOver('another process has taken it up');
  }

  async function attempt(
    { spec, sender }: Line,
    message: Message,
    stop: AbortSignal,
    handOver: () => Promise<void>,
  ): Promise<Delivery> {
    const late = new AbortController();
    const tooLong = () => late.abort(new Error(`it took longer than ${spec.timeoutMs / 1000} s`));
    const timer = setTimeout(tooLong, spec.timeoutMs);
    try {
      const signal = AbortSignal.any([late.signal, stop]);
      const templates = subscriptions.get(message.subscription)?.spec.templates ?? {};
      return await sender.send(message, { handOver, signal, templates });
    } catch (error) {
      if (error instanceof NotHandedOver)
        return { kind: 'deferred', reason: `it was kept back: ${error.message}`, retryAfterMs: 1_000 };
      log.error({ err: error, notification: message.id, channel: message.channel }, 'a message could not be made');
      return { kind: 'deferred', reason: `it could not be made: ${reasonOf(error)}` };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Again and again while the database is away: what was delivered must not be delivered a second time. */
  async function record(claimed: Claimed, kind: string, ending: Ending, more: FinishMore = {}): Promise<void> {
    for (;;) {
      try {
        const mine = await store.finish(claimed.id, owner, ending, clock.now(), more);
        if (mine) noteEnd(claimed, kind, ending, more);
        else
          log.warn(
            { notification: claimed.id, ending: ending.kind },
            'a notification had been taken up by another process',
          );
        return;
      } catch (error) {
        if (givenUp) throw error;
        log.warn(
          { err: error, notification: claimed.id, ending: ending.kind },
          'the end of a notification cannot be recorded; it is tried again',
        );
        await clock.sleep(RECORD_RETRY_MS);
      }
    }
  }

  /** Once for each fault: a channel may be away for days, and is asked every half minute. */
  function noteAnswer({ gate }: Line, channel: string, delivery: Delivery): void {
    if (delivery.kind === 'away') {
      const { reason, retryAfterMs } = delivery;
      if (gate.fault !== reason) log.warn({ channel, reason }, 'a channel is away; its messages wait');
      gate.away(clock.nowMs(), random, reason, retryAfterMs);
    } else {
      if (gate.fault !== undefined) log.info({ channel }, 'a channel answers again');
      gate.answered();
    }
  }

  function noteDelay({ id, channel, subscription, alertId, attempts }: Claimed, reason: string): void {
    const about = { notification: id, channel, subscription, alert: alertId, attempts };
    log.warn({ ...about, reason }, 'a notification could not be delivered; it is tried again');
  }

  function noteEnd(claimed: Claimed, kind: string, ending: Ending, { splits = [] }: FinishMore): void {
    const dead = splits.filter(({ state }) => state === 'dead');
    if (ending.kind !== 'again') deps.observe(kind, ending.kind, 1);
    else if (ending.quiet !== true) deps.observe(kind, 'retried', 1);
    deps.observe(kind, 'dead', dead.length);
    const { id, channel, subscription, alertId, attempts } = claimed;
    const about = { notification: id, channel, subscription, alert: alertId, attempts };
    const again = '`openline notifications retry` sends it again';
    if (ending.kind === 'dead') log.error({ ...about, reason: ending.reason }, `a notification was given up; ${again}`);
    else if (ending.kind === 'uncertain') {
      log.error({ ...about, reason: ending.reason }, `nobody knows whether a notification was delivered; ${again}`);
    }
    for (const { reason } of dead) log.error({ ...about, reason }, 'recipients of a notification were refused');
  }

  return {
    deliver,
    attempt,
    giveUp() {
      givenUp = true;
    },
  };
}

function alertIdsOf({ items }: Claimed): string[] {
  return [...new Set(items.map(({ alert }) => alert.id))];
}
