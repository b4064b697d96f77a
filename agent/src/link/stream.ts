import { type ChannelCredentials, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { EnrollResponse, FetchPackResponse, RenewResponse } from '@openline/proto/agent';
import { AgentMessage, AgentServiceClient, AgentServiceService, ServerMessage } from '@openline/proto/agent';
import { createEncoder } from '@openline/proto/encoder';
import { ERROR_CODE_METADATA } from '@openline/proto/errors';
import { MAX_SERVER_MESSAGE_BYTES } from '@openline/proto/limits';
import type { Identity } from '../enrollment/identity.ts';
import { closedForGood } from './closed-for-good.ts';
import type { EndCause } from './link-machine.ts';

export interface StreamEvents {
  /** The server has taken the stream. */
  connected(): void;
  message(message: ServerMessage): void;
  drained(): void;
  /** Exactly once, also when it was ended from here. */
  ended(cause: EndCause, why: string): void;
}

/** One Connect stream on a channel, and so a TCP connection, of its own. */
export interface Stream {
  /** @returns false: it was taken, but no more should follow until `drained` */
  write(message: AgentMessage): boolean;
  /** Over the connection of the stream. @throws ServiceError */
  fetchPack(digest: Uint8Array): Promise<FetchPackResponse>;
  /** Over the connection of the stream. @throws ServiceError */
  renew(csrDer: Uint8Array): Promise<RenewResponse>;
  /** Proves the node anew over the connection of the stream. @throws ServiceError */
  attest(csrDer: Uint8Array, kubernetesToken: string): Promise<RenewResponse>;
  /** Says what is still to be said, then closes; at the latest after `graceMs`. */
  finish(graceMs: number): Promise<void>;
  /** At once. */
  destroy(): void;
}

export type OpenStream = (address: string, identity: Identity, events: StreamEvents) => Stream;

const UNARY_TIMEOUT_MS = 30_000;

export const CHANNEL_OPTIONS = {
  // One channel is one TCP connection, also when many agents share a process.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.enable_retries': 0,
  // Else each dial asks the DNS for a TXT record.
  'grpc.service_config_disable_resolution': 1,
  // Even without retries grpc-js takes a megabyte per call before it pushes back.
  'grpc.per_rpc_retry_buffer_size': 65_536,
  'grpc.max_receive_message_length': MAX_SERVER_MESSAGE_BYTES,
  'grpc.enable_channelz': 0,
  // grpc-js would obey http_proxy, which is set for other programs, and whose proxies end a quiet connection. Enrolment does not, either.
  'grpc.enable_http_proxy': 0,
  // Agents that know their servers by one name spread over its addresses.
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ pick_first: { shuffleAddressList: true } }] }),
} as const;

/** Read once for each identity, not for each dial: reading costs as much as half a handshake. */
const read = new WeakMap<Identity, ChannelCredentials>();

function credentialsOf(identity: Identity): ChannelCredentials {
  const known = read.get(identity);
  if (known !== undefined) return known;
  const { caPem, keyPem, certificatePem } = identity;
  const made = credentials.createSsl(Buffer.from(caPem), Buffer.from(keyPem), Buffer.from(certificatePem));
  read.set(identity, made);
  return made;
}

const encode = createEncoder(AgentMessage);

/** What may wait for grpc-js before `write` says that no more should follow. */
const WAITING_BYTES = 64 * 1024;

/**
 * Opens a channel for this one stream; it is given up with it, since grpc-js has no connect timeout of its own. The stream is grpc-js's call itself:
 * the stream object that it would put between costs memory, and time per message (docs/performance.md).
 */
export const openStream: OpenStream = (address, identity, events) => {
  const client = new AgentServiceClient(address, closedForGood(credentialsOf(identity)), CHANNEL_OPTIONS);
  const call = client
    .getChannel()
    .createCall(AgentServiceService.connect.path, Number.POSITIVE_INFINITY, null, null, null);
  let over = false;
  let onOver: () => void = () => undefined;

  /** A call takes one message at a time. */
  const waiting: Buffer[] = [];
  let waitingBytes = 0;
  let writing = false;
  let congested = false;
  let ending = false;
  const send = (bytes: Buffer) => {
    writing = true;
    call.sendMessageWithContext({ callback: sent }, bytes);
  };
  const sent = () => {
    writing = false;
    if (over) return;
    const next = waiting.shift();
    if (next !== undefined) {
      waitingBytes -= next.length;
      send(next);
    } else if (ending) {
      call.halfClose();
    } else if (congested) {
      congested = false;
      events.drained();
    }
  };

  call.start(new Metadata(), {
    onReceiveMetadata: () => events.connected(),
    onReceiveMessage(bytes: Buffer) {
      let message: ServerMessage;
      try {
        message = ServerMessage.decode(bytes);
      } catch (error) {
        call.cancelWithStatus(status.INTERNAL, `a message cannot be decoded: ${String(error)}`);
        return;
      }
      events.message(message);
      call.startRead();
    },
    onReceiveStatus({ code, details, metadata }) {
      if (over) return;
      over = true;
      client.close();
      onOver();
      const named = metadata.get(ERROR_CODE_METADATA).map(String)[0] ?? '';
      const why = `${status[code] ?? code}: ${details}${named ? ` [${named}]` : ''}`;
      events.ended(causeOf(code, details, named), why);
    },
  });
  call.startRead();

  const destroy = () => {
    if (over) return;
    call.cancelWithStatus(status.CANCELLED, 'given up by the agent');
    client.close();
  };
  const deadline = () => ({ deadline: Date.now() + UNARY_TIMEOUT_MS });
  return {
    write(message) {
      if (over || ending) return false;
      const bytes = encode(message);
      if (writing) {
        waiting.push(bytes);
        waitingBytes += bytes.length;
      } else send(bytes);
      congested = waitingBytes >= WAITING_BYTES;
      return !congested;
    },
    fetchPack: (digest) =>
      unary<FetchPackResponse>((answer) =>
        client.fetchPack({ digest: Buffer.from(digest) }, new Metadata(), deadline(), answer),
      ),
    renew: (csrDer) =>
      unary<RenewResponse>((answer) =>
        client.renew({ csrDer: Buffer.from(csrDer) }, new Metadata(), deadline(), answer),
      ),
    attest: (csrDer, value) =>
      unary<EnrollResponse>((answer) => {
        const credential = { $case: 'kubernetesToken' as const, value };
        client.enroll({ credential, csrDer: Buffer.from(csrDer), name: '' }, new Metadata(), deadline(), answer);
      }),
    finish(graceMs) {
      if (over) return Promise.resolve();
      return new Promise((resolve) => {
        const timeout = setTimeout(destroy, graceMs);
        onOver = () => {
          clearTimeout(timeout);
          resolve();
        };
        ending = true;
        if (!writing) call.halfClose();
      });
    },
    destroy,
  };
};

function unary<T>(start: (answer: (error: ServiceError | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error ? reject(error) : resolve(value)));
  });
}

const REFUSED_CODES = new Set(['CERTIFICATE_MISSING', 'CERTIFICATE_EXPIRED', 'IDENTITY_UNKNOWN', 'AGENT_REVOKED']);

/** grpc-js reports a failed handshake only as text: what our side says of the server's certificate, and the alerts its side sends about ours. */
export function causeOf(code: number, details: string, named: string): EndCause {
  if (REFUSED_CODES.has(named) || code === status.UNAUTHENTICATED) return 'refused';
  if (code !== status.UNAVAILABLE) return 'lost';
  if (/alert (bad certificate|certificate|unknown ca|access denied)/i.test(details)) return 'refused';
  if (/certificate|altnames/i.test(details)) return 'untrusted';
  return 'lost';
}
