import type {
  EventBatch,
  FetchPackResponse,
  Heartbeat,
  Hello,
  PackState,
  RenewResponse,
  ServerMessage,
  TrustReport,
  Welcome,
} from '@openline/proto/agent';
import { ERRORS, type ErrorCode, OpenlineError } from '@openline/proto/errors';
import type { Identity } from '../enrollment/identity.ts';
import { TRUST_CAPABILITY } from '../enrollment/trust.ts';
import type { Clock, Timer } from '../tasks/clock.ts';
import type { Uplink } from '../tasks/engine.ts';
import type { Log } from '../telemetry/log.ts';
import { type Action, type Input, isCurrent, type LinkPolicy, type LinkState, step, wakeAtMs } from './link-machine.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import type { OpenStream, Stream } from './stream.ts';

/** What the link carries for. No handler may block: none is awaited. */
export interface SessionHandler {
  /** Asked anew for each stream. */
  hello(): Hello;
  heartbeat(): Omit<Heartbeat, 'seq' | 'sentUnixMs'>;
  opened(welcome: Welcome): void;
  closed(): void;
  /** Every message that is not about the link itself. */
  message(message: ServerMessage): void;
  /** After `output` returned false within an open session. */
  writable(): void;
}

export interface LinkDeps {
  clock: Clock;
  /** [0, 1) */
  random: () => number;
  log: Log;
  openStream: OpenStream;
  /** Asked anew for each stream, so that a renewed certificate is used from the next connection on. */
  identity: () => Identity;
  /** Uses a join token that was not used yet. @returns false when there is none */
  enrollAgain: () => Promise<boolean>;
  handler: SessionHandler;
  observe?: LinkObserver | undefined;
}

export interface LinkConfig {
  /** host:port, in the order of preference; the first is home. */
  readonly servers: readonly string[];
  readonly policy: LinkPolicy;
}

/** What the link tells of itself, for metrics. */
export interface LinkObserver {
  opened(): void;
  /** A stream ended, or never became a session. */
  failed(code: ErrorCode): void;
  /** From a heartbeat to the server's answer. */
  heartbeat(roundTripMs: number): void;
}

/** The agent's one line to its servers: dials, keeps, loses and finds it again. */
export interface Link extends Uplink {
  start(): void;
  /** @returns false without a session */
  events(batch: EventBatch): boolean;
  /** From now on, in this session. 0: as its Welcome said. */
  beatEvery(heartbeatMs: number): void;
  /** Nothing happens without a session: PacksWanted is answered anew at the next one. */
  packStatus(packs: PackState[]): void;
  /** Nothing happens without a session, whose Hello says it, or when the server takes none. */
  trustReport(report: TrustReport): void;
  /** @throws OpenlineError SERVER_UNREACHABLE without a session; ServiceError */
  fetchPack(digest: Uint8Array): Promise<FetchPackResponse>;
  /** @throws OpenlineError SERVER_UNREACHABLE without a session; ServiceError */
  renew(csrDer: Uint8Array): Promise<RenewResponse>;
  /** @throws OpenlineError SERVER_UNREACHABLE without a session; ServiceError */
  attest(csrDer: Uint8Array, kubernetesToken: string): Promise<RenewResponse>;
  readonly state: LinkState;
  /** Says Goodbye, lets the stream run out, and never dials again. */
  stop(reason: string): Promise<void>;
}

interface Session {
  readonly number: number;
  readonly stream: Stream;
  readonly outbox: Outbox;
  readonly welcomeMs: number;
  readonly takesTrust: boolean;
  heartbeatMs: number;
  heartbeatTimer: Timer | undefined;
  /** The newest heartbeat, while it is not answered. */
  asked: { readonly seq: bigint; readonly atMs: number } | undefined;
}

interface Opened {
  readonly stream: Stream;
  welcome: Welcome | undefined;
}

const DEFAULT_HEARTBEAT_MS = 15_000;
const LEAST_HEARTBEAT_MS = 50;
const FINISH_GRACE_MS = 2_000;

export function createLink(deps: LinkDeps, config: LinkConfig): Link {
  const { clock, random, log, handler } = deps;
  const { servers, policy } = config;
  const opened = new Map<number, Opened>();
  let state: LinkState = { kind: 'idle', streams: 0 };
  let session: Session | undefined;
  let timer: (Timer & { atMs: number }) | undefined;
  let heartbeatSeq = 0n;
  let lastWhy = '';
  const finishing = new Set<Promise<void>>();

  function feed(input: Input) {
    const [next, actions] = step(state, input, { nowMs: clock.nowMs(), random, policy });
    state = next;
    for (const action of actions) perform(action);
    arm();
  }

  /** One timer, moved only when something is due earlier: each frame heard would otherwise cost a timer. */
  function arm() {
    const atMs = wakeAtMs(state, policy);
    if (atMs !== undefined && timer && timer.atMs <= atMs) return;
    timer?.cancel();
    timer = undefined;
    if (atMs === undefined) return;
    const armed = clock.after(Math.max(0, atMs - clock.nowMs()), () => {
      timer = undefined;
      // After a stall of this process the answer may lie unread in the socket: read first, then judge the silence.
      setImmediate(() => feed({ kind: 'tick' }));
    });
    timer = { atMs, cancel: () => armed.cancel() };
  }

  function perform(action: Action) {
    switch (action.kind) {
      case 'dial':
        return dial(action.stream, action.server);
      case 'close':
        return close(action.stream);
      case 'sessionOpened':
        return openSession(action.stream);
      case 'sessionClosed':
        return closeSession();
      case 'retrying':
        return say(action.code, action.inMs, action.loud);
      case 'enrollAgain':
        return enrollAgain();
      default:
        return action satisfies never;
    }
  }

  function dial(number: number, server: number) {
    const address = servers[server] ?? '';
    log.debug({ server: address, stream: number }, 'dialing');
    const stream = deps.openStream(address, deps.identity(), {
      connected: () => feed({ kind: 'connected', stream: number }),
      message: (message) => receive(number, message),
      drained: () => {
        if (session?.number === number) session.outbox.drained();
      },
      ended: (cause, why) => {
        if (isCurrent(state, number)) lastWhy = `${address}: ${why}`;
        // Not within openStream: the machine has not seen the stream yet.
        setImmediate(() => feed({ kind: 'ended', stream: number, cause }));
      },
    });
    opened.set(number, { stream, welcome: undefined });
    stream.write({ kind: { $case: 'hello', value: handler.hello() } });
  }

  function close(number: number) {
    const entry = opened.get(number);
    opened.delete(number);
    if (!entry) return;
    // A session that was replaced, or that we end, may still carry what we wrote; one that broke carries nothing.
    const orderly = entry.welcome && (state.kind === 'ready' || state.kind === 'stopped');
    if (!orderly) return entry.stream.destroy();
    const finished = entry.stream.finish(FINISH_GRACE_MS);
    finishing.add(finished);
    void finished.then(() => finishing.delete(finished));
  }

  function openSession(number: number) {
    const entry = opened.get(number);
    if (!entry?.welcome) return;
    const { stream, welcome } = entry;
    const outbox = createOutbox(
      (message) => stream.write(message),
      () => handler.writable(),
    );
    const welcomeMs = heartbeatMs(welcome.heartbeatIntervalMs);
    session = {
      number,
      stream,
      outbox,
      welcomeMs,
      takesTrust: welcome.capabilities.includes(TRUST_CAPABILITY),
      heartbeatMs: welcomeMs,
      heartbeatTimer: undefined,
      asked: undefined,
    };
    lastWhy = '';
    log.info(
      { agent: welcome.agentName, agentId: welcome.agentId, epoch: welcome.sessionEpoch, stream: number },
      'connected',
    );
    beat(session, welcomeMs * random());
    deps.observe?.opened();
    handler.opened(welcome);
  }

  function closeSession() {
    session?.heartbeatTimer?.cancel();
    session = undefined;
    handler.closed();
  }

  /** The first one at a random moment, so that agents that came together do not beat together. */
  function beat(on: Session, inMs: number) {
    on.heartbeatTimer = clock.after(inMs, () => {
      if (session !== on) return;
      heartbeatSeq++;
      on.asked = { seq: heartbeatSeq, atMs: clock.nowMs() };
      const sentUnixMs = BigInt(Math.round(clock.unixMs()));
      on.outbox.control({
        kind: { $case: 'heartbeat', value: { ...handler.heartbeat(), seq: heartbeatSeq, sentUnixMs } },
      });
      beat(on, on.heartbeatMs);
    });
  }

  function receive(number: number, message: ServerMessage) {
    const entry = opened.get(number);
    if (!entry || !isCurrent(state, number)) return;
    feed({ kind: 'heard', stream: number });
    const { kind } = message;
    switch (kind?.$case) {
      case 'welcome':
        entry.welcome ??= kind.value;
        return feed({ kind: 'welcome', stream: number, heartbeatMs: heartbeatMs(kind.value.heartbeatIntervalMs) });
      case 'heartbeatAck':
        if (session?.number === number && session.asked?.seq === kind.value.seq) {
          deps.observe?.heartbeat(clock.nowMs() - session.asked.atMs);
          session.asked = undefined;
        }
        if (kind.value.committedRunIds.length > 0 && session?.number === number) handler.message(message);
        return;
      case 'reconnect':
        log.info({ afterMs: kind.value.afterMs, reason: kind.value.reason }, 'the server asks for a new connection');
        return feed({ kind: 'reconnect', stream: number, afterMs: kind.value.afterMs });
      case 'disconnect': {
        const { code, message: text, retryAfterMs } = kind.value;
        lastWhy = text;
        return feed({ kind: 'disconnect', stream: number, code, retryAfterMs });
      }
      case 'unsupported':
        return log.warn({ note: kind.value.note }, 'the server did not know a message');
      case undefined:
        // A newer server. Answered when there is room: not even a flood of these may fill our memory.
        log.debug({}, 'a message of an unknown kind');
        if (session?.number === number && !session.outbox.congested) {
          session.outbox.control({ kind: { $case: 'unsupported', value: { note: 'unknown kind of message' } } });
        }
        return;
      default:
        if (session?.number === number) handler.message(message);
        return;
    }
  }

  function say(code: ErrorCode, inMs: number, loud: boolean) {
    deps.observe?.failed(code);
    const fields = { code, retryInMs: Math.round(inMs), why: lastWhy, ...(loud ? { next: ERRORS[code].doNext } : {}) };
    log[loud ? 'error' : 'warn'](fields, ERRORS[code].means);
  }

  function enrollAgain() {
    deps.enrollAgain().then(
      (enrolled) => {
        if (enrolled) feed({ kind: 'enrolled' });
      },
      (error: unknown) => log.error({ error }, 'could not enrol again'),
    );
  }

  function connected(): Stream {
    if (!session) throw new OpenlineError('SERVER_UNREACHABLE', 'there is no open session with a server');
    return session.stream;
  }

  return {
    start: () => feed({ kind: 'start' }),
    get state() {
      return state;
    },
    reports(reports) {
      if (!session) return false;
      const { number, outbox } = session;
      if (outbox.reports(reports)) return true;
      // The server does not read. A new stream starts from what is still owed.
      lastWhy = 'the server did not read what was sent';
      setImmediate(() => feed({ kind: 'ended', stream: number, cause: 'lost' }));
      return false;
    },
    output: (chunk) => session?.outbox.output(chunk) ?? false,
    events(batch) {
      session?.outbox.events(batch);
      return session !== undefined;
    },
    beatEvery(everyMs) {
      const on = session;
      if (!on) return;
      const next = everyMs === 0 ? on.welcomeMs : heartbeatMs(everyMs);
      if (next === on.heartbeatMs) return;
      on.heartbeatMs = next;
      on.heartbeatTimer?.cancel();
      beat(on, next * random());
      feed({ kind: 'paced', stream: on.number, heartbeatMs: next });
    },
    packStatus(packs) {
      session?.outbox.control({ kind: { $case: 'packStatus', value: { packs } } });
    },
    trustReport(report) {
      if (session?.takesTrust) session.outbox.control({ kind: { $case: 'trustReport', value: report } });
    },
    fetchPack: async (digest) => connected().fetchPack(digest),
    renew: async (csrDer) => connected().renew(csrDer),
    attest: async (csrDer, token) => connected().attest(csrDer, token),
    async stop(reason) {
      session?.outbox.control({ kind: { $case: 'goodbye', value: { reason } } });
      feed({ kind: 'stop' });
      await Promise.all(finishing);
    },
  };
}

/** What a broken server could say must not make us spin, or wait for ever. */
function heartbeatMs(heartbeatIntervalMs: number): number {
  return heartbeatIntervalMs === 0 ? DEFAULT_HEARTBEAT_MS : Math.max(LEAST_HEARTBEAT_MS, heartbeatIntervalMs);
}
