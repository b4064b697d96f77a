import type { ErrorCode } from '@openline/proto/errors';

/** One life of an agent's link, at the server: a pure state machine. The driver (agent-session.ts) performs the actions. */
export type Session =
  /** The stream is open; Hello has not come. */
  | { readonly kind: 'greeting'; readonly sinceMs: number }
  /** Hello is being written to the store. */
  | { readonly kind: 'opening'; readonly sinceMs: number }
  | {
      readonly kind: 'ready';
      readonly heardMs: number;
      readonly epoch: number;
      /** Silence after which the agent counts as offline. */
      readonly silenceMs: number;
      /** The same from its next heartbeat on: it may not have heard of a new interval yet. */
      readonly nextSilenceMs: number;
    }
  | { readonly kind: 'closed'; readonly code: CloseCode };

export type CloseCode =
  | 'ENDED_BY_AGENT'
  /** The agent said that it stops. */
  | 'GOODBYE'
  | 'SERVER_STOPS'
  | Extract<
      ErrorCode,
      | 'SESSION_SUPERSEDED'
      | 'AGENT_REVOKED'
      | 'CERTIFICATE_EXPIRED'
      | 'IDENTITY_IN_USE'
      | 'IDENTITY_UNKNOWN'
      | 'PROTOCOL_UNSUPPORTED'
      | 'PROTOCOL_VIOLATION'
      | 'MESSAGE_TOO_LARGE'
      | 'AGENT_TOO_SLOW'
      | 'AGENT_SILENT'
      | 'SERVER_BUSY'
      | 'STORE_UNAVAILABLE'
    >;

export type Input =
  | { readonly kind: 'hello'; readonly protocolMin: number; readonly protocolMax: number }
  /** The store has given the session its epoch. */
  | { readonly kind: 'opened'; readonly epoch: number; readonly silenceMs: number }
  /** Another heartbeat policy holds now. */
  | { readonly kind: 'policy'; readonly silenceMs: number }
  | { readonly kind: 'heartbeat' }
  /** Any other message of the protocol. */
  | { readonly kind: 'message' }
  /** What cannot be decoded, or breaks a rule of its kind. */
  | { readonly kind: 'nonsense'; readonly what: string }
  | { readonly kind: 'tick'; readonly certificateExpired: boolean; readonly queuedBytes: number }
  | { readonly kind: 'close'; readonly code: CloseCode; readonly why: string }
  | { readonly kind: 'streamEnded' };

export type Action =
  | { readonly kind: 'open' }
  | { readonly kind: 'welcome' }
  | { readonly kind: 'acknowledge' }
  | { readonly kind: 'deliver' }
  | { readonly kind: 'disconnect'; readonly code: CloseCode; readonly why: string };

export interface SessionPolicy {
  readonly protocolMin: number;
  readonly protocolMax: number;
  /** From the opening of the stream to Hello, and from Hello to Welcome. */
  readonly greetingMs: number;
  readonly queueLimitBytes: number;
}

export function step(
  session: Session,
  input: Input,
  nowMs: number,
  policy: SessionPolicy,
): [Session, readonly Action[]] {
  if (session.kind === 'closed') return [session, []];
  switch (input.kind) {
    case 'close':
      return close(input.code, input.why);
    case 'nonsense':
      return close('PROTOCOL_VIOLATION', input.what);
    case 'streamEnded':
      return [{ kind: 'closed', code: 'ENDED_BY_AGENT' }, []];
    case 'tick':
      return onTick(session, input, nowMs, policy);
    case 'hello':
      if (session.kind !== 'greeting') return close('PROTOCOL_VIOLATION', 'Hello came twice');
      if (input.protocolMin > policy.protocolMax || input.protocolMax < policy.protocolMin) {
        return close(
          'PROTOCOL_UNSUPPORTED',
          `the agent speaks protocol ${input.protocolMin} to ${input.protocolMax}, this server ${policy.protocolMin} to ${policy.protocolMax}`,
        );
      }
      return [{ kind: 'opening', sinceMs: nowMs }, [{ kind: 'open' }]];
    case 'opened':
      if (session.kind !== 'opening') return [session, []];
      return [
        {
          kind: 'ready',
          heardMs: nowMs,
          epoch: input.epoch,
          silenceMs: input.silenceMs,
          nextSilenceMs: input.silenceMs,
        },
        [{ kind: 'welcome' }],
      ];
    case 'policy': {
      if (session.kind !== 'ready') return [session, []];
      const { silenceMs } = input;
      return [{ ...session, silenceMs: Math.max(session.silenceMs, silenceMs), nextSilenceMs: silenceMs }, []];
    }
    case 'heartbeat':
      if (session.kind !== 'ready') return close('PROTOCOL_VIOLATION', 'a heartbeat came before Welcome');
      return [{ ...session, heardMs: nowMs, silenceMs: session.nextSilenceMs }, [{ kind: 'acknowledge' }]];
    case 'message':
      if (session.kind !== 'ready') return close('PROTOCOL_VIOLATION', 'a message came before Welcome');
      // Only a heartbeat proves that the executor works: other messages do not postpone the silence.
      return [session, [{ kind: 'deliver' }]];
    default:
      return input satisfies never;
  }
}

function onTick(
  session: Exclude<Session, { kind: 'closed' }>,
  input: Extract<Input, { kind: 'tick' }>,
  nowMs: number,
  policy: SessionPolicy,
): [Session, readonly Action[]] {
  if (input.certificateExpired)
    return close('CERTIFICATE_EXPIRED', 'the certificate of the session has expired and was not renewed');
  if (input.queuedBytes > policy.queueLimitBytes) {
    return close('AGENT_TOO_SLOW', `${input.queuedBytes} bytes wait for the agent to read them`);
  }
  switch (session.kind) {
    case 'greeting':
      if (nowMs - session.sinceMs <= policy.greetingMs) return [session, []];
      return close('AGENT_SILENT', `no Hello came within ${policy.greetingMs} ms`);
    case 'opening':
      if (nowMs - session.sinceMs <= policy.greetingMs) return [session, []];
      return close('STORE_UNAVAILABLE', `the session could not be stored within ${policy.greetingMs} ms`);
    case 'ready':
      if (nowMs - session.heardMs <= session.silenceMs) return [session, []];
      return close('AGENT_SILENT', `no heartbeat came within ${session.silenceMs} ms`);
    default:
      return session satisfies never;
  }
}

function close(code: CloseCode, why: string): [Session, readonly Action[]] {
  return [{ kind: 'closed', code }, [{ kind: 'disconnect', code, why }]];
}

/** Who says Hello: what tells a restarted agent from a copied identity. */
export interface Instance {
  readonly instanceId: string;
  readonly machineId: string;
  readonly journalId: string;
}

export interface Holder extends Instance {
  /** Instances that this one, or one before it, took the identity over from. */
  readonly superseded: readonly string[];
}

const REMEMBERED_INSTANCES = 8;

/**
 * What happens when an agent says Hello while another session with its identity is alive. One process that reconnects is the same
 * instance; a restarted agent is a new instance on the same machine with the same journal. Anything else alive at the same time is a copy.
 */
export function contest(
  holder: Holder,
  newcomer: Instance,
): { kind: 'supersede'; superseded: readonly string[] } | { kind: 'refuse'; why: string } {
  if (newcomer.instanceId === holder.instanceId) return { kind: 'supersede', superseded: holder.superseded };
  if (newcomer.machineId !== holder.machineId)
    return { kind: 'refuse', why: 'another machine is connected with this identity' };
  if (newcomer.journalId !== holder.journalId)
    return { kind: 'refuse', why: 'another data directory of the same machine is connected with this identity' };
  // A process that was taken over by a restarted one is dead. If it comes back, there are two.
  if (holder.superseded.includes(newcomer.instanceId))
    return { kind: 'refuse', why: 'another process is connected with this identity' };
  return { kind: 'supersede', superseded: [...holder.superseded, holder.instanceId].slice(-REMEMBERED_INSTANCES) };
}
