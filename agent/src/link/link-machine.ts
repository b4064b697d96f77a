import type { DisconnectCode } from '@openline/proto/agent';
import type { ErrorCode } from '@openline/proto/errors';
import { type Backoff, backoffMs, spreadMs } from './backoff.ts';
import { UNKNOWN, UNREACHABLE, UNTRUSTED, type Verdict, verdictOn } from './verdict.ts';

/** A stream on its way up: `dialing` until TCP and TLS stand and Hello goes out, then `greeting` until Welcome. */
export interface Rising {
  readonly stream: number;
  /** Index in the ordered list of servers. */
  readonly server: number;
  readonly phase: 'dialing' | 'greeting';
  readonly sinceMs: number;
}

export interface Ready {
  readonly kind: 'ready';
  readonly streams: number;
  readonly stream: number;
  readonly server: number;
  readonly sinceMs: number;
  readonly lastHeardMs: number;
  readonly silenceMs: number;
  /** Failures before this session; forgotten once it has held for longer than the silence that would have ended it. */
  readonly attempt: number;
  /** Where to go next without leaving a gap, and when: the server asked for it, or it is time to try the first one again. */
  readonly move: { readonly atMs: number; readonly server: number } | undefined;
  /** The stream that replaces this one when it is welcomed. */
  readonly successor: Rising | undefined;
}

interface RisingLink {
  readonly kind: 'rising';
  readonly streams: number;
  readonly rising: Rising;
  readonly attempt: number;
}

/** One agent's line to its servers. `streams` counts the streams ever dialed, so it is the number of the newest. */
export type LinkState =
  | { readonly kind: 'idle'; readonly streams: number }
  | RisingLink
  | Ready
  | {
      readonly kind: 'waiting';
      readonly streams: number;
      readonly attempt: number;
      readonly server: number;
      readonly untilMs: number;
    }
  | { readonly kind: 'stopped'; readonly streams: number };

/** Why a stream ended, as far as the transport can tell: no answer or a broken connection; not the server we expect; not the agent it expects. */
export type EndCause = 'lost' | 'untrusted' | 'refused';

type FromStream =
  | { readonly kind: 'connected'; readonly stream: number }
  | { readonly kind: 'welcome'; readonly stream: number; readonly heartbeatMs: number }
  | { readonly kind: 'heard'; readonly stream: number }
  /** Heartbeats come at another pace from now on. */
  | { readonly kind: 'paced'; readonly stream: number; readonly heartbeatMs: number }
  | { readonly kind: 'reconnect'; readonly stream: number; readonly afterMs: number }
  | {
      readonly kind: 'disconnect';
      readonly stream: number;
      readonly code: DisconnectCode;
      readonly retryAfterMs: number;
    }
  | { readonly kind: 'ended'; readonly stream: number; readonly cause: EndCause };

/** `enrolled`: a new identity was issued, dial with it now. */
export type Input = FromStream | { readonly kind: 'start' | 'tick' | 'enrolled' | 'stop' };

export type Action =
  | { readonly kind: 'dial'; readonly stream: number; readonly server: number }
  /** Give up the stream and its connection. */
  | { readonly kind: 'close'; readonly stream: number }
  | { readonly kind: 'sessionOpened'; readonly stream: number }
  | { readonly kind: 'sessionClosed'; readonly stream: number }
  /** For the log; `loud` when a person may have to do something. */
  | { readonly kind: 'retrying'; readonly code: ErrorCode; readonly inMs: number; readonly loud: boolean }
  /** If there is a join token that was not used yet, use it. */
  | { readonly kind: 'enrollAgain' };

export interface LinkPolicy {
  readonly servers: number;
  /** From dialing to Welcome; after that a new channel. grpc-js itself would wait for ever. */
  readonly connectMs: number;
  /** Heartbeats in which nothing came from the server, after which the channel is given up. */
  readonly silentHeartbeats: number;
  readonly backoff: Backoff;
  /** How often an agent on a later server tries the first one, ± 20 %. */
  readonly failbackMs: number;
  /** Wait when a person has to act first (revoked, unknown identity, no common protocol), ± 20 %. */
  readonly blockedMs: number;
  /** Wait when another process holds the identity, ± 33 %. */
  readonly contestedMs: number;
}

export const DEFAULT_LINK_POLICY: Omit<LinkPolicy, 'servers'> = {
  connectMs: 15_000,
  silentHeartbeats: 3,
  backoff: { baseMs: 2_000, maxMs: 60_000 },
  failbackMs: 300_000,
  blockedMs: 300_000,
  contestedMs: 90_000,
};

/** When it happens, by which dice, under which policy. */
export interface Moment {
  readonly nowMs: number;
  readonly random: () => number;
  readonly policy: LinkPolicy;
}

type Step = [LinkState, Action[]];

/** Pure. Input that means nothing in this state, or comes from a stream that was given up, changes nothing. */
export function step(link: LinkState, input: Input, at: Moment): Step {
  if (input.kind === 'stop') return [{ kind: 'stopped', streams: link.streams }, closeAll(link)];
  switch (link.kind) {
    case 'idle':
      return input.kind === 'start' ? dial(link.streams, 0, 0, at) : [link, []];
    case 'rising':
      return whenRising(link, input, at);
    case 'ready':
      return whenReady(link, input, at);
    case 'waiting':
      if (input.kind === 'enrolled') return dial(link.streams, 0, 0, at);
      if (input.kind !== 'tick' || at.nowMs < link.untilMs) return [link, []];
      return dial(link.streams, link.server, link.attempt, at);
    case 'stopped':
      return [link, []];
    default:
      return link satisfies never;
  }
}

/** When the next `tick` is due; undefined: nothing to wait for. */
export function wakeAtMs(link: LinkState, policy: LinkPolicy): number | undefined {
  if (link.kind === 'waiting') return link.untilMs;
  if (link.kind === 'rising') return link.rising.sinceMs + policy.connectMs;
  if (link.kind !== 'ready') return undefined;
  const silentAtMs = link.lastHeardMs + link.silenceMs;
  if (link.successor) return Math.min(silentAtMs, link.successor.sinceMs + policy.connectMs);
  return Math.min(silentAtMs, link.move?.atMs ?? Number.POSITIVE_INFINITY);
}

/** Whether what arrives from this stream still counts. */
export function isCurrent(link: LinkState, stream: number): boolean {
  if (link.kind === 'rising') return link.rising.stream === stream;
  return link.kind === 'ready' && (link.stream === stream || link.successor?.stream === stream);
}

function whenRising(link: RisingLink, input: Input, at: Moment): Step {
  const { rising, attempt, streams } = link;
  if ('stream' in input && input.stream !== rising.stream) return [link, []];
  // A stream that never became a session: the next server in the list, and longer waits after each round through it.
  const round = Math.floor(attempt / at.policy.servers);
  const next = { streams, attempt: attempt + 1, server: nextServer(rising.server, at) };
  switch (input.kind) {
    case 'connected':
      return [{ ...link, rising: { ...rising, phase: 'greeting' } }, []];
    case 'welcome':
      return welcomed(streams, rising, input.heartbeatMs, attempt, at);
    case 'tick':
      if (at.nowMs < rising.sinceMs + at.policy.connectMs) return [link, []];
      return wait(next, rising.stream, UNREACHABLE, pause(UNREACHABLE, round, at), at);
    case 'ended': {
      const verdict = verdictOnEnd(input.cause);
      return wait(next, rising.stream, verdict, pause(verdict, round, at), at);
    }
    case 'disconnect': {
      const verdict = verdictOn(input.code);
      return wait(next, rising.stream, verdict, pauseTold(verdict, input.retryAfterMs, round, at), at);
    }
    default:
      // `heard` prolongs nothing: a server that talks and never welcomes is left, too.
      return [link, []];
  }
}

function whenReady(link: Ready, input: Input, at: Moment): Step {
  if ('stream' in input && link.successor?.stream === input.stream) {
    return whenSucceeding(link, link.successor, input, at);
  }
  if ('stream' in input && input.stream !== link.stream) return [link, []];
  switch (input.kind) {
    case 'heard':
      return [{ ...link, lastHeardMs: at.nowMs }, []];
    case 'paced':
      return [{ ...link, silenceMs: input.heartbeatMs * at.policy.silentHeartbeats }, []];
    case 'reconnect':
      // While a successor is on its way, another request asks for what is already being done.
      if (link.successor) return [link, []];
      return [{ ...link, move: { atMs: at.nowMs + input.afterMs, server: link.server } }, []];
    case 'ended': {
      const verdict = verdictOnEnd(input.cause);
      return broken(link, verdict, pause(verdict, attemptsOf(link, at), at), at);
    }
    case 'disconnect': {
      const verdict = verdictOn(input.code);
      return broken(link, verdict, pauseTold(verdict, input.retryAfterMs, attemptsOf(link, at), at), at);
    }
    case 'tick':
      if (at.nowMs >= link.lastHeardMs + link.silenceMs) {
        return broken(link, UNREACHABLE, pause(UNREACHABLE, attemptsOf(link, at), at), at);
      }
      if (link.successor && at.nowMs >= link.successor.sinceMs + at.policy.connectMs) {
        return moveFailed(link, link.successor, at);
      }
      return link.move && !link.successor && at.nowMs >= link.move.atMs ? move(link, link.move.server, at) : [link, []];
    default:
      return [link, []];
  }
}

/** Make before break: the old stream keeps serving while the new one rises. */
function move(link: Ready, server: number, at: Moment): Step {
  const stream = link.streams + 1;
  const successor: Rising = { stream, server, phase: 'dialing', sinceMs: at.nowMs };
  return [{ ...link, streams: stream, move: undefined, successor }, [{ kind: 'dial', stream, server }]];
}

function whenSucceeding(link: Ready, successor: Rising, input: Input, at: Moment): Step {
  switch (input.kind) {
    case 'connected':
      return [{ ...link, successor: { ...successor, phase: 'greeting' } }, []];
    case 'welcome': {
      const [next, opened] = welcomed(link.streams, successor, input.heartbeatMs, attemptsOf(link, at), at);
      const { stream } = link;
      return [next, [{ kind: 'sessionClosed', stream }, ...opened, { kind: 'close', stream }]];
    }
    case 'ended':
    case 'disconnect':
      return moveFailed(link, successor, at);
    default:
      return [link, []];
  }
}

/** The old session still serves; try again later. A server that wanted us gone closes it if it cannot wait. */
function moveFailed(link: Ready, successor: Rising, at: Moment): Step {
  const { failbackMs, backoff } = at.policy;
  const inMs = successor.server === link.server ? at.random() * backoff.maxMs : spreadMs(failbackMs, 0.2, at.random);
  const again = { atMs: at.nowMs + inMs, server: successor.server };
  return [{ ...link, successor: undefined, move: again }, [{ kind: 'close', stream: successor.stream }]];
}

/** The session is gone. A successor that is on its way becomes the line, unless our identity itself was refused. */
function broken(link: Ready, verdict: Verdict, inMs: number, at: Moment): Step {
  const { stream, streams, successor } = link;
  const attempt = attemptsOf(link, at);
  const gone: Action[] = [{ kind: 'sessionClosed', stream }];
  if (successor && !verdict.enrollAgain) {
    return [{ kind: 'rising', streams, rising: successor, attempt }, [...gone, { kind: 'close', stream }]];
  }
  if (successor) gone.push({ kind: 'close', stream: successor.stream });
  // Begin again at the first server, unless this one pushed us off for lack of room.
  const server = verdict.code === 'SERVER_BUSY' ? nextServer(link.server, at) : 0;
  const [next, actions] = wait({ streams, attempt, server }, stream, verdict, inMs, at);
  return [next, [...gone, ...actions]];
}

function welcomed(streams: number, rising: Rising, heartbeatMs: number, attempt: number, at: Moment): Step {
  const { stream, server } = rising;
  const { silentHeartbeats, failbackMs } = at.policy;
  return [
    {
      kind: 'ready',
      streams,
      stream,
      server,
      sinceMs: at.nowMs,
      lastHeardMs: at.nowMs,
      silenceMs: heartbeatMs * silentHeartbeats,
      attempt,
      move: server === 0 ? undefined : { atMs: at.nowMs + spreadMs(failbackMs, 0.2, at.random), server: 0 },
      successor: undefined,
    },
    [{ kind: 'sessionOpened', stream }],
  ];
}

function wait(
  next: { streams: number; attempt: number; server: number },
  stream: number,
  { code, pace, enrollAgain }: Verdict,
  inMs: number,
  at: Moment,
): Step {
  const loud = pace !== 'backoff' || code === 'SERVER_UNTRUSTED';
  const actions: Action[] = [
    { kind: 'close', stream },
    { kind: 'retrying', code, inMs, loud },
  ];
  if (enrollAgain) actions.push({ kind: 'enrollAgain' });
  return [{ kind: 'waiting', ...next, untilMs: at.nowMs + inMs }, actions];
}

function dial(streams: number, server: number, attempt: number, at: Moment): Step {
  const stream = streams + 1;
  const rising: Rising = { stream, server, phase: 'dialing', sinceMs: at.nowMs };
  return [{ kind: 'rising', streams: stream, attempt, rising }, [{ kind: 'dial', stream, server }]];
}

function closeAll(link: LinkState): Action[] {
  if (link.kind === 'rising') return [{ kind: 'close', stream: link.rising.stream }];
  if (link.kind !== 'ready') return [];
  const { stream, successor } = link;
  const actions: Action[] = [
    { kind: 'sessionClosed', stream },
    { kind: 'close', stream },
  ];
  return successor ? [...actions, { kind: 'close', stream: successor.stream }] : actions;
}

/** A server that welcomes and then drops us again and again must see longer and longer waits, too. */
function attemptsOf(link: Ready, { nowMs }: Moment): number {
  return nowMs - link.sinceMs > link.silenceMs ? 0 : link.attempt + 1;
}

function nextServer(server: number, { policy }: Moment): number {
  return (server + 1) % policy.servers;
}

function verdictOnEnd(cause: EndCause): Verdict {
  return { lost: UNREACHABLE, untrusted: UNTRUSTED, refused: UNKNOWN }[cause];
}

function pause({ pace }: Verdict, attempt: number, { random, policy }: Moment): number {
  switch (pace) {
    case 'backoff':
      return backoffMs(attempt, random, policy.backoff);
    case 'blocked':
      return spreadMs(policy.blockedMs, 0.2, random);
    case 'contested':
      return spreadMs(policy.contestedMs, 1 / 3, random);
    default:
      return pace satisfies never;
  }
}

/** A time the server names is never undercut, and spread, since many agents were told the same. */
function pauseTold(verdict: Verdict, retryAfterMs: number, attempt: number, at: Moment): number {
  return retryAfterMs === 0 ? pause(verdict, attempt, at) : retryAfterMs * (1 + at.random() / 2);
}
