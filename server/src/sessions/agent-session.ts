import { type AgentMessage, DisconnectCode, type Heartbeat, type Hello, ServerMessage } from '@openline/proto/agent';
import type { AgentPolicy } from '../policy/policies.ts';
import { decodeAgentMessage, encode, frameDetail, kindName } from './frames.ts';
import type { Link } from './link.ts';
import { Load } from './load.ts';
import { OutputWindow } from './output-window.ts';
import {
  type Action,
  type CloseCode,
  type Holder,
  type Input,
  type Session,
  type SessionPolicy,
  step,
} from './session.ts';
import type { LinkFrame, LinkSnapshot } from './trace.ts';
import { TRUST_CAPABILITY } from './trust.ts';

/** What a session asks of the service that owns it. */
export interface SessionOwner {
  readonly policy: SessionPolicy;
  nowMs(): number;
  open(session: AgentSession, hello: Hello): void;
  welcome(session: AgentSession): void;
  deliver(session: AgentSession, message: NonNullable<AgentMessage['kind']>): void;
  closed(session: AgentSession, code: CloseCode, why: string): void;
  heartbeat(session: AgentSession, heartbeat: Heartbeat): void;
  /** Results to be forgotten, which the agent was not told yet. */
  committed(agentId: string): string[];
  /** @param field number of the message's kind in the .proto file */
  frame(direction: 'up' | 'down', field: number, bytes: number): void;
}

/** What a Hello offers that an agent takes up: rules and monitors, and the policy for them. */
export const EVENTS_CAPABILITY = 'events';

/** It sends output again that was dropped here for lack of room. */
const OUTPUT_RESEND_CAPABILITY = 'output-resend';

/** It puts properties of its own into parameters. */
const PARAMETERS_FROM_CAPABILITY = 'parameters-from';

/** gRPC's prefix of every message. */
const PREFIX_BYTES = 5;

const DISCONNECT_CODES = {
  ENDED_BY_AGENT: DisconnectCode.DISCONNECT_CODE_UNSPECIFIED,
  GOODBYE: DisconnectCode.DISCONNECT_CODE_UNSPECIFIED,
  SERVER_STOPS: DisconnectCode.DISCONNECT_CODE_SERVER_BUSY,
  SESSION_SUPERSEDED: DisconnectCode.DISCONNECT_CODE_SUPERSEDED,
  AGENT_REVOKED: DisconnectCode.DISCONNECT_CODE_REVOKED,
  IDENTITY_UNKNOWN: DisconnectCode.DISCONNECT_CODE_REVOKED,
  CERTIFICATE_EXPIRED: DisconnectCode.DISCONNECT_CODE_CERTIFICATE_EXPIRED,
  IDENTITY_IN_USE: DisconnectCode.DISCONNECT_CODE_IDENTITY_IN_USE,
  PROTOCOL_UNSUPPORTED: DisconnectCode.DISCONNECT_CODE_PROTOCOL_UNSUPPORTED,
  PROTOCOL_VIOLATION: DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION,
  MESSAGE_TOO_LARGE: DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION,
  AGENT_TOO_SLOW: DisconnectCode.DISCONNECT_CODE_TOO_SLOW,
  AGENT_SILENT: DisconnectCode.DISCONNECT_CODE_SILENT,
  SERVER_BUSY: DisconnectCode.DISCONNECT_CODE_SERVER_BUSY,
  STORE_UNAVAILABLE: DisconnectCode.DISCONNECT_CODE_SERVER_BUSY,
} as const satisfies Record<CloseCode, DisconnectCode>;

/** Performs what the state machine says, over one link. Small: there are ten thousand of them. */
export class AgentSession {
  readonly link: Link;
  readonly openedAt: Date;
  readonly #owner: SessionOwner;
  #state: Session;
  hello: Hello | undefined;
  /** Empty until the session is ready. */
  agentName = '';
  holder: Holder | undefined;
  /** The process that had the session before: what its Hello does not name it may have accepted since it was written. */
  sameProcess = false;
  lastHeartbeat: Heartbeat | undefined;
  /** When it was last heard in a ready session, which may have ended since. */
  heardMs = 0;
  /** What it was told last that holds on it. */
  policy: AgentPolicy | undefined;
  /** It takes Policy, EventAck and ResetMonitor. */
  takesPolicy = false;
  /** It takes Trust. */
  takesTrust = false;
  /** It puts properties of its own into parameters that name one, and takes PinnedLabels. */
  fillsIn = false;
  /** What its Welcome is to say of it; not kept longer. */
  pinnedLabels: Readonly<Record<string, string>> | undefined;
  /** What the agent has in hand. */
  readonly load = new Load();
  /** What came of its output and is not committed. */
  readonly output = new OutputWindow();
  resendsOutput = false;
  messagesUp = 0;
  messagesDown = 0;
  messageBytesUp = 0;
  messageBytesDown = 0;
  /** Who looks at the frames; undefined nearly always. */
  #tap: ((frame: LinkFrame) => void) | undefined;
  /** A message is on its way through grpc-js, which buffers without bound: the rest waits here, where it is counted. */
  #writing = false;
  #control: Buffer[] | undefined;
  #bulk: Buffer[] | undefined;
  #queuedBytes = 0;

  constructor(link: Link, owner: SessionOwner, openedAt: Date) {
    this.link = link;
    this.#owner = owner;
    this.openedAt = openedAt;
    this.#state = { kind: 'greeting', sinceMs: owner.nowMs() };
  }

  get agentId(): string {
    return this.link.agentId;
  }
  get state(): Session {
    return this.#state;
  }
  /** 0 until the session is ready. */
  get epoch(): number {
    return this.#state.kind === 'ready' ? this.#state.epoch : 0;
  }
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  input(input: Input, message?: NonNullable<AgentMessage['kind']>): void {
    const [next, actions] = step(this.#state, input, this.#owner.nowMs(), this.#owner.policy);
    this.#state = next;
    if (next.kind === 'ready') this.heardMs = next.heardMs;
    for (const action of actions) this.#perform(action, message);
  }

  receive(bytes: Buffer): void {
    this.messagesUp++;
    this.messageBytesUp += bytes.length + PREFIX_BYTES;
    this.#owner.frame('up', fieldOf(bytes), bytes.length + PREFIX_BYTES);
    const message = decodeAgentMessage(bytes);
    if (message instanceof Error) {
      this.input({ kind: 'nonsense', what: `a message cannot be decoded: ${message.message}` });
      return;
    }
    const { kind } = message;
    if (this.#tap !== undefined) this.#show('up', bytes.length, kindName(kind?.$case), frameDetail(kind));
    switch (kind?.$case) {
      case undefined:
        // A newer agent: answered, not fatal.
        this.send(
          encode({ kind: { $case: 'unsupported', value: { note: 'this server does not know that kind of message' } } }),
          'control',
        );
        break;
      case 'hello':
        this.hello = kind.value;
        this.load.hello(kind.value);
        this.resendsOutput = kind.value.capabilities.includes(OUTPUT_RESEND_CAPABILITY);
        this.takesPolicy = kind.value.capabilities.includes(EVENTS_CAPABILITY);
        this.takesTrust = kind.value.capabilities.includes(TRUST_CAPABILITY);
        this.fillsIn = kind.value.capabilities.includes(PARAMETERS_FROM_CAPABILITY);
        this.input({ kind: 'hello', protocolMin: kind.value.protocolMin, protocolMax: kind.value.protocolMax });
        break;
      case 'heartbeat':
        this.input({ kind: 'heartbeat' }, kind);
        break;
      default:
        this.input({ kind: 'message' }, kind);
    }
  }

  #perform(action: Action, message: NonNullable<AgentMessage['kind']> | undefined): void {
    switch (action.kind) {
      case 'open':
        if (this.hello !== undefined) this.#owner.open(this, this.hello);
        return;
      case 'welcome':
        this.#owner.welcome(this);
        return;
      case 'acknowledge':
        if (message?.$case !== 'heartbeat') return;
        this.lastHeartbeat = message.value;
        this.#acknowledge(message.value.seq);
        this.#owner.heartbeat(this, message.value);
        return;
      case 'deliver':
        if (message !== undefined) this.#owner.deliver(this, message);
        return;
      case 'disconnect':
        this.#disconnect(action.code, action.why);
        return;
      default:
        action satisfies never;
    }
  }

  #acknowledge(seq: bigint): void {
    const committedRunIds = this.#owner.committed(this.agentId);
    this.send(encode({ kind: { $case: 'heartbeatAck', value: { seq, committedRunIds } } }), 'control');
  }

  #disconnect(code: CloseCode, why: string): void {
    if (code === 'AGENT_SILENT' || code === 'AGENT_TOO_SLOW') {
      // It does not read: a farewell would wait behind what it did not read.
      this.link.destroy();
    } else {
      const retryAfterMs = code === 'SERVER_BUSY' ? 5_000 : 0;
      // Not through the queue, which ends here: one small message more is no burden to grpc-js.
      this.#write(
        encode({ kind: { $case: 'disconnect', value: { code: DISCONNECT_CODES[code], message: why, retryAfterMs } } }),
      );
      this.link.end();
    }
    this.#control = undefined;
    this.#bulk = undefined;
    this.#owner.closed(this, code, why);
  }

  /** The agent, or the network, ended the stream. */
  streamEnded(): void {
    if (this.#state.kind === 'closed') return;
    this.input({ kind: 'streamEnded' });
    this.#owner.closed(this, 'ENDED_BY_AGENT', 'the stream ended');
  }

  /** @param message an encoded ServerMessage */
  send(message: Buffer, lane: 'control' | 'bulk'): void {
    if (!this.#writing) {
      this.#write(message);
      return;
    }
    this.#queuedBytes += message.length;
    if (lane === 'control') {
      this.#control ??= [];
      this.#control.push(message);
    } else {
      this.#bulk ??= [];
      this.#bulk.push(message);
    }
  }

  readonly #flushed = (): void => {
    this.#writing = false;
    const next = this.#control?.shift() ?? this.#bulk?.shift();
    if (this.#control?.length === 0) this.#control = undefined;
    if (this.#bulk?.length === 0) this.#bulk = undefined;
    if (next === undefined) return;
    this.#queuedBytes -= next.length;
    this.#write(next);
  };

  #write(message: Buffer): void {
    this.#writing = true;
    this.messagesDown++;
    this.messageBytesDown += message.length + PREFIX_BYTES;
    this.#owner.frame('down', fieldOf(message), message.length + PREFIX_BYTES);
    if (this.#tap === undefined) {
      this.link.write(message, this.#flushed);
      return;
    }
    // Shown once it has left, so that the bytes of the socket include it.
    this.link.write(message, () => {
      const { kind } = ServerMessage.decode(message);
      this.#show('down', message.length, kindName(kind?.$case), frameDetail(kind));
      this.#flushed();
    });
  }

  #show(direction: 'up' | 'down', bytes: number, kind: string, detail: string): void {
    const { up, down } = this.link.socketBytes();
    const atUnixUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
    this.#tap?.({
      atUnixUs,
      direction,
      kind,
      bytes: bytes + PREFIX_BYTES,
      detail,
      socketBytesUp: up,
      socketBytesDown: down,
    });
  }

  tap(listener: ((frame: LinkFrame) => void) | undefined): void {
    this.#tap = listener;
  }

  snapshot(): LinkSnapshot {
    const { up, down } = this.link.socketBytes();
    return {
      connected: this.#state.kind === 'ready',
      remoteAddress: this.link.remoteAddress,
      epoch: this.epoch,
      openedAt: this.openedAt,
      messagesUp: this.messagesUp,
      messagesDown: this.messagesDown,
      messageBytesUp: this.messageBytesUp,
      messageBytesDown: this.messageBytesDown,
      socketBytesUp: up,
      socketBytesDown: down,
      tlsProtocol: this.link.tlsProtocol,
      tlsCipher: this.link.tlsCipher,
    };
  }
}

/** Protobuf's first byte is a tag: the field number of the envelope's `oneof`, which is its kind (all are below 16). */
function fieldOf(message: Buffer): number {
  return (message[0] ?? 0) >> 3;
}
