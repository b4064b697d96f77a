import type { Declared, DeclaredObject } from '../../declared/declared.ts';
import type { ChannelSpec } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import type { Delivery, Sender } from '../senders/sender.ts';
import { createDeliverer, type DeliveryDeps } from './delivery.ts';
import { appetite, createLine, type Line } from './line.ts';
import type { Claimed, OutboxStore } from './outbox-store.ts';

export interface DispatcherDeps extends DeliveryDeps {
  readonly store: OutboxStore;
  readonly channels: Pick<Declared<ChannelSpec>, 'get' | 'list' | 'onChange'>;
  createSender(spec: ChannelSpec): Sender;
  /** No other process uses the database: what others had claimed is abandoned, at once. */
  readonly alone: boolean;
}

/** Takes from the outbox what is due, and sees that it is delivered. */
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
/** What was claimed so long ago and is not held was lost on its way: the database took the claim, and its answer never came. */
const STRAY_MS = 10_000;
const LAST_MS = 1_000;
/** Jumps of the wall clock below this are ordinary corrections. */
const CLOCK_JUMP_MS = 5_000;

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { store, channels, clock, log, owner } = deps;
  const deliverer = createDeliverer(deps);
  const lines = new Map<string, Line>();
  const underWay = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>();
  const timers: NodeJS.Timeout[] = [];
  let stopping = false;
  let running: Promise<void> | undefined;
  let again = false;
  let seen = { wall: clock.now().getTime(), monotonic: clock.nowMs() };

  /** Follows what is declared: a channel that changed begins anew, and what waited for the old one is tried at once. */
  function follow(): void {
    for (const [name, line] of lines) {
      const declared = channels.get(name);
      if (declared?.spec === line.spec) continue;
      line.sender.close();
      lines.delete(name);
      void giveBack(line).catch(() => {});
      if (declared !== undefined) void store.hurry(name, clock.now()).then(wake, () => {});
    }
    for (const { name, spec } of channels.list()) {
      if (!lines.has(name)) lines.set(name, createLine(spec, deps.createSender(spec)));
    }
    wake();
  }

  async function giveBack({ waiting }: Line): Promise<void> {
    const ids = waiting.splice(0).map(({ id }) => id);
    if (ids.length > 0) await store.release(ids, owner);
  }

  function wake(): void {
    again = true;
    if (running !== undefined || stopping) return;
    running = new Promise((resolve) => setImmediate(resolve)).then(run);
  }

  async function run(): Promise<void> {
    while (again && !stopping) {
      again = false;
      try {
        await claim();
      } catch (error) {
        log.warn({ err: error }, 'the outbox cannot be read; it is tried again');
        break; // the sweep comes by
      }
    }
    running = undefined;
  }

  async function claim(): Promise<void> {
    const rooms = new Map<string, number>();
    for (const [name, line] of lines) {
      const wanted = appetite(line, clock);
      if (wanted > 0) rooms.set(name, wanted);
    }
    if (rooms.size > 0) {
      const claimed = await store.claim(owner, rooms, clock.now(), LEASE_MS);
      const homeless: string[] = [];
      for (const one of claimed) {
        const line = lines.get(one.channel);
        if (line === undefined || stopping) homeless.push(one.id);
        else line.waiting.push(one);
      }
      // Between the question and the answer the channel was deleted, or the end began.
      if (homeless.length > 0) await store.release(homeless, owner);
    }
    for (const line of lines.values()) await beginWhatMay(line);
  }

  async function beginWhatMay(line: Line): Promise<void> {
    while (!stopping && line.gate.room(clock.nowMs()) > 0) {
      const next = line.waiting.shift();
      if (next === undefined) return;
      begin(next, line);
    }
    // Somebody else, or a later moment, may have more luck with it; the order of each thread is kept in the database.
    if (line.gate.fault !== undefined) await giveBack(line);
  }

  function begin(claimed: Claimed, line: Line): void {
    const abort = new AbortController();
    line.gate.started(clock.nowMs());
    const done = deliverer
      .deliver(claimed, line, abort.signal)
      .catch((error: unknown) => {
        log.error(
          { err: error, notification: claimed.id },
          'a notification could not be worked on; it is taken up again',
        );
        return store.release([claimed.id], owner).catch(() => {});
      })
      .finally(() => {
        line.gate.ended();
        underWay.delete(claimed.id);
        // Without a question to the database while something waits here.
        void beginWhatMay(line)
          .catch(() => {})
          .finally(() => {
            if (line.waiting.length < line.spec.concurrency) wake();
          });
      });
    underWay.set(claimed.id, { abort, done });
  }

  /** What this process works on, or will. */
  function held(): string[] {
    const waiting = [...lines.values()].flatMap((line) => line.waiting.map(({ id }) => id));
    return [...underWay.keys(), ...waiting];
  }

  async function recover(alone: boolean): Promise<void> {
    const resend = channels.list().filter(({ spec }) => spec.whenUncertain === 'resend');
    const names = resend.map(({ name }) => name);
    const found = await store.recover(
      { owner, held: held(), alone, resend: names, strayMs: LEASE_MS - STRAY_MS },
      clock.now(),
    );
    if (found.length === 0) return;
    const uncertain = found.filter(({ state }) => state === 'uncertain');
    for (const { channelKind } of uncertain) deps.observe(channelKind, 'uncertain', 1);
    const counts = { again: found.length - uncertain.length, uncertain: uncertain.length };
    log.warn(counts, 'notifications whose work was interrupted are taken up');
    wake();
  }

  async function sweep(): Promise<void> {
    const now = { wall: clock.now().getTime(), monotonic: clock.nowMs() };
    const jumpMs = now.wall - seen.wall - (now.monotonic - seen.monotonic);
    // The times of others are not moved for the clock of this machine.
    if (deps.alone && Math.abs(jumpMs) >= CLOCK_JUMP_MS) await store.shift(jumpMs);
    seen = now;
    wake();
  }

  /** Never twice at a time: a jump of the clock counts once, however slow the database is. */
  function every(ms: number, work: () => Promise<unknown>): void {
    let busy = false;
    const tend = async () => {
      if (busy) return;
      busy = true;
      await work().catch((error: unknown) => log.warn({ err: error }, 'the outbox cannot be tended'));
      busy = false;
    };
    timers.push(setInterval(() => void tend(), ms));
  }

  return {
    wake,
    async start() {
      await recover(deps.alone);
      channels.onChange(follow);
      follow();
      every(SWEEP_MS, sweep);
      every(RENEW_MS, () => store.renew(owner, held(), LEASE_MS));
      every(RECOVER_MS, () => recover(false));
    },
    sendNow({ spec }, message) {
      const line = createLine(spec, deps.createSender(spec));
      return deliverer
        .attempt(line, message, new AbortController().signal, async () => {})
        .finally(() => line.sender.close());
    },
    fault: (channel) => lines.get(channel)?.gate.fault,
    async stop(graceMs) {
      stopping = true;
      for (const timer of timers) clearInterval(timer);
      for (const line of lines.values()) await giveBack(line).catch(() => {});
      await within(graceMs);
      for (const { abort } of underWay.values()) abort.abort(new Error('the server is being stopped'));
      await within(LAST_MS);
      deliverer.giveUp();
      for (const { sender } of lines.values()) sender.close();
    },
  };

  /** Until nothing is under way, and not longer than that. */
  async function within(ms: number): Promise<void> {
    const done = new AbortController();
    const all = Promise.all([running, ...[...underWay.values()].map((each) => each.done)]).then(() => done.abort());
    await Promise.race([all, clock.sleep(ms, done.signal)]);
    done.abort();
  }
}
