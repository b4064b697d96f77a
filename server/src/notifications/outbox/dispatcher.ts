import type { Alert } from '../../alerts/alert.ts';
import type { Clock } from '../../clock.ts';
import type { Declared, DeclaredObject } from '../../declared/declared.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { ChannelSpec } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import { type Delivery, NotHandedOver, reasonOf, type Sender } from '../senders/sender.ts';
import type { SubscriptionSpec } from '../subscriptions/subscription.ts';
import { Gate } from './gate.ts';
import type { Claimed, Ending, OutboxStore } from './outbox-store.ts';
import { holdsStill, messageOf, outcomeOf, type Recorded } from './outcome.ts';

/** How a message ended for good, or that it is tried again; for metrics. */
export type Outcome = 'sent' | 'retried' | 'dead' | 'uncertain' | 'cancelled' | 'skipped';

export interface DispatcherDeps {
  readonly store: OutboxStore;
  readonly channels: Pick<Declared<ChannelSpec>, 'get' | 'list' | 'onChange'>;
  readonly subscriptions: Pick<Declared<SubscriptionSpec>, 'get'>;
  createSender(spec: ChannelSpec): Sender;
  /** As they are now; those that are gone are missing. */
  readAlerts(ids: readonly string[]): Promise<ReadonlyMap<string, Alert>>;
  readonly clock: Clock;
  readonly random: () => number;
  newId(): string;
  /** Names this process among those that share the database. */
  readonly owner: string;
  /** No other process uses the database: what others had claimed is abandoned, at once. */
  readonly alone: boolean;
  readonly log: Pick<Logger, 'warn' | 'error' | 'info'>;
  observe(channelKind: string, outcome: Outcome, count: number): void;
  /** From the moment it was due to the answer of the other side. */
  observeDelay(channelKind: string, seconds: number): void;
}

export interface Dispatcher {
  /** Something may be due. */
  wake(): void;
  /** What was left by those who are gone is taken up first. */
  start(): Promise<void>;
  /** Sends a message now, past the outbox. */
  sendNow(channel: DeclaredObject<ChannelSpec>, message: Message): Promise<Delivery>;
  /** Why the channel is taken to be away; undefined: nothing says so. */
  fault(channel: string): string | undefined;
  /** Nothing more is begun; what is under way has `graceMs` to end. */
  stop(graceMs: number): Promise<void>;
}

const SWEEP_MS = 1_000;
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
const RECOVER_MS = 10_000;
const RECORD_RETRY_MS = 500;

interface Line {
  readonly spec: ChannelSpec;
  readonly sender: Sender;
  readonly gate: Gate;
}

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { store, channels, subscriptions, clock, random, log, owner } = deps;
  const lines = new Map<string, Line>();
  const underWay = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>();
  const timers: NodeJS.Timeout[] = [];
  let stopping = false;
  let running = false;
  let again = false;

  /** Follows what is declared: a channel that changed begins anew, and what waited for the old one is tried at once. */
  function follow(): void {
    for (const [name, line] of lines) {
      const declared = channels.get(name);
      if (declared?.spec === line.spec) continue;
      line.sender.close();
      lines.delete(name);
      if (declared !== undefined) void store.hurry(name, clock.now()).then(wake, () => {});
    }
    for (const { name, spec } of channels.list()) {
      if (!lines.has(name)) lines.set(name, { spec, sender: deps.createSender(spec), gate: new Gate(spec) });
    }
    wake();
  }

  function wake(): void {
    again = true;
    if (running || stopping) return;
    running = true;
    setImmediate(() => void run());
  }

  async function run(): Promise<void> {
    while (again && !stopping) {
      again = false;
      try {
        await round();
      } catch (error) {
        log.warn({ err: error }, 'the outbox cannot be read; it is tried again');
        break; // the sweep comes by
      }
    }
    running = false;
  }

  async function round(): Promise<void> {
    const nowMs = clock.nowMs();
    const rooms = new Map<string, number>();
    for (const [name, { gate }] of lines) if (gate.room(nowMs) > 0) rooms.set(name, gate.room(nowMs));
    if (rooms.size === 0) return;
    const claimed = await store.claim(owner, rooms, clock.now(), LEASE_MS);
    for (const one of claimed) begin(one);
    if (claimed.length > 0) again = true;
  }

  function begin(claimed: Claimed): void {
    const line = lines.get(claimed.channel);
    const abort = new AbortController();
    line?.gate.started(clock.nowMs());
    const done = deliver(claimed, line, abort.signal)
      .catch((error: unknown) =>
        log.error({ err: error, notification: claimed.id }, 'a notification could not be worked on'),
      )
      .finally(() => {
        line?.gate.ended();
        underWay.delete(claimed.id);
        wake();
      });
    underWay.set(claimed.id, { abort, done });
  }

  async function deliver(claimed: Claimed, line: Line | undefined, signal: AbortSignal): Promise<void> {
    const subscription = subscriptions.get(claimed.subscription)?.spec;
    // It was deleted, or changed, between the claim and now.
    if (line === undefined)
      return record(claimed, '', { kind: 'again', reason: 'the channel is not known here', tryAt: clock.now() });
    const kind = line.spec.target.kind;
    const alerts = claimed.condition === '' ? new Map<string, Alert>() : await deps.readAlerts(alertIdsOf(claimed));
    const unwanted = holdsStill(claimed, alerts);
    if (unwanted !== undefined) return record(claimed, kind, { kind: 'cancelled', reason: unwanted });

    const message = messageOf(claimed, alerts, subscription);
    const handOver = () => (line.spec.whenUncertain === 'keep' ? markHandedOver(claimed.id) : Promise.resolve());
    const delivery = await attempt(line, message, subscription, signal, handOver);
    if (delivery.kind === 'away') line.gate.away(clock.nowMs(), random, delivery.reason, delivery.retryAfterMs);
    else line.gate.answered();
    const recorded = outcomeOf(delivery, claimed, line.spec, subscription, {
      now: clock.now(),
      random,
      newId: deps.newId,
    });
    await record(claimed, kind, recorded.ending, recorded);
    if (delivery.kind === 'delivered')
      deps.observeDelay(kind, (clock.now().getTime() - claimed.dueAt.getTime()) / 1000);
  }

  async function markHandedOver(id: string): Promise<void> {
    const mine = await store.handOver(id, owner).catch((cause: unknown) => {
      throw new NotHandedOver(`that could not be recorded: ${reasonOf(cause)}`, { cause });
    });
    if (!mine) throw new NotHandedOver('another process has taken it up');
  }

  /** Bounded in time, and never throws. */
  async function attempt(
    { spec, sender }: Line,
    message: Message,
    subscription: SubscriptionSpec | undefined,
    stop: AbortSignal,
    handOver: () => Promise<void>,
  ): Promise<Delivery> {
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new Error(`it took longer than ${spec.timeoutMs / 1000} s`)),
      spec.timeoutMs,
    );
    try {
      const signal = AbortSignal.any([late.signal, stop]);
      return await sender.send(message, { handOver, signal, templates: subscription?.templates ?? {} });
    } catch (error) {
      if (error instanceof NotHandedOver)
        return { kind: 'deferred', reason: `it was kept back: ${reasonOf(error)}`, retryAfterMs: 1_000 };
      log.error({ err: error, notification: message.id, channel: message.channel }, 'a message could not be made');
      return { kind: 'deferred', reason: `it could not be made: ${reasonOf(error)}` };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Again and again while the database is away: what was delivered must not be delivered a second time. */
  async function record(claimed: Claimed, kind: string, ending: Ending, more: Partial<Recorded> = {}): Promise<void> {
    for (;;) {
      try {
        const mine = await store.finish(claimed.id, owner, ending, clock.now(), more);
        if (!mine)
          log.warn(
            { notification: claimed.id, ending: ending.kind },
            'a notification had been taken up by another process',
          );
        else noteEnd(claimed, kind, ending, more);
        return;
      } catch (error) {
        if (stopped) throw error;
        log.warn(
          { err: error, notification: claimed.id, ending: ending.kind },
          'the end of a notification cannot be recorded; it is tried again',
        );
        await clock.sleep(RECORD_RETRY_MS);
      }
    }
  }

  function noteEnd(claimed: Claimed, kind: string, ending: Ending, { splits = [] }: Partial<Recorded>): void {
    const { id, channel, subscription, alertId, attempts } = claimed;
    deps.observe(kind, ending.kind === 'again' ? 'retried' : ending.kind, 1);
    const dead = splits.filter(({ state }) => state === 'dead');
    if (dead.length > 0) deps.observe(kind, 'dead', dead.length);
    const about = { notification: id, channel, subscription, alert: alertId, attempts };
    if (ending.kind === 'dead')
      log.error(
        { ...about, reason: ending.reason },
        'a notification was given up; `openline notifications retry` sends it again',
      );
    else if (ending.kind === 'uncertain')
      log.error(
        { ...about, reason: ending.reason },
        'nobody knows whether a notification was delivered; `openline notifications retry` sends it again',
      );
    else if (ending.kind === 'again')
      log.warn({ ...about, reason: ending.reason }, 'a notification could not be delivered; it is tried again');
    for (const { reason } of dead) log.error({ ...about, reason }, 'recipients of a notification were refused');
  }

  async function recover(alone: boolean): Promise<void> {
    const resend = channels
      .list()
      .filter(({ spec }) => spec.whenUncertain === 'resend')
      .map(({ name }) => name);
    const { again: taken, uncertain } = await store.recover(owner, alone, resend, clock.now());
    if (taken + uncertain === 0) return;
    deps.observe('', 'uncertain', uncertain);
    log.warn({ again: taken, uncertain }, 'notifications that another process had begun are taken up');
    wake();
  }

  let stopped = false;
  const every = (ms: number, work: () => Promise<unknown> | undefined) => {
    timers.push(
      setInterval(
        () =>
          void Promise.resolve(work()).catch((error: unknown) =>
            log.warn({ err: error }, 'the outbox cannot be tended'),
          ),
        ms,
      ),
    );
  };

  return {
    wake,
    async start() {
      await recover(deps.alone);
      channels.onChange(follow);
      follow();
      every(SWEEP_MS, () => void wake());
      every(RENEW_MS, () => (underWay.size > 0 ? store.renew(owner, LEASE_MS) : undefined));
      every(RECOVER_MS, () => recover(false));
    },
    sendNow(channel, message) {
      const sender = deps.createSender(channel.spec);
      const line = { spec: channel.spec, sender, gate: new Gate(channel.spec) };
      return attempt(line, message, undefined, new AbortController().signal, async () => {}).finally(() =>
        sender.close(),
      );
    },
    fault: (channel) => lines.get(channel)?.gate.fault,
    async stop(graceMs) {
      stopping = true;
      for (const timer of timers) clearInterval(timer);
      const all = Promise.all([...underWay.values()].map(({ done }) => done));
      const grace = new AbortController();
      await Promise.race([all, clock.sleep(graceMs, grace.signal)]);
      grace.abort();
      for (const { abort } of underWay.values()) abort.abort(new Error('the server is being stopped'));
      const last = new AbortController();
      await Promise.race([
        Promise.all([...underWay.values()].map(({ done }) => done)),
        clock.sleep(1_000, last.signal),
      ]);
      last.abort();
      stopped = true;
      for (const { sender } of lines.values()) sender.close();
    },
  };
}

function alertIdsOf({ items }: Claimed): string[] {
  return [...new Set(items.map(({ alert }) => alert.id))];
}
