import * as grpc from '@grpc/grpc-js';
import {
  EnrollRequest,
  EnrollResponse,
  FetchPackRequest,
  FetchPackResponse,
  RenewRequest,
  RenewResponse,
} from '@openline/proto/agent';
import { type ErrorCode, OpenlineError } from '@openline/proto/errors';
import { MAX_AGENT_MESSAGE_BYTES, MAX_SERVER_MESSAGE_BYTES } from '@openline/proto/limits';
import type { EnrollmentService, TlsMaterial } from '../../enrollment/enrollment.ts';
import type { PackService } from '../../packs/pack-service.ts';
import type { AgentSession } from '../agent-session.ts';
import type { Link } from '../link.ts';
import type { SessionLog } from '../sessions.ts';
import { type Connection, listenTls, type TlsListener } from './tls-listener.ts';

export interface LinkServerDeps {
  readonly enrollment: EnrollmentService;
  readonly packs: Pick<PackService, 'byDigest'>;
  attach(link: Link): AgentSession;
  isConnected(agentId: string): boolean;
  readonly log: SessionLog;
  readonly trustDomain: string;
  readonly maxAgents: number;
  /** What a peer must trust now, PEM. */
  caPem(): string;
  trustedPackKeys(): string[];
  onHandshake(outcome: 'ok' | 'failed' | 'abandoned'): void;
  onRefused(code: ErrorCode): void;
}

export interface LinkServer {
  readonly port: number;
  setMaterial(material: TlsMaterial): void;
  stop(): Promise<void>;
}

const STATUS_OF: Partial<Record<ErrorCode, grpc.status>> = {
  JOIN_TOKEN_INVALID: grpc.status.UNAUTHENTICATED,
  NAME_TAKEN: grpc.status.ALREADY_EXISTS,
  REQUEST_INVALID: grpc.status.INVALID_ARGUMENT,
  CERTIFICATE_MISSING: grpc.status.UNAUTHENTICATED,
  CERTIFICATE_EXPIRED: grpc.status.UNAUTHENTICATED,
  IDENTITY_UNKNOWN: grpc.status.UNAUTHENTICATED,
  AGENT_REVOKED: grpc.status.PERMISSION_DENIED,
  PACK_UNKNOWN: grpc.status.NOT_FOUND,
  PROTOCOL_VIOLATION: grpc.status.FAILED_PRECONDITION,
  STORE_UNAVAILABLE: grpc.status.UNAVAILABLE,
  SERVER_BUSY: grpc.status.UNAVAILABLE,
};

const raw = (bytes: Buffer): Buffer => bytes;
const PATH = '/openline.agent.v1.AgentService/';
const CONNECT_PATH = `${PATH}Connect`;

/** Connections beyond the links: of those that enrol, reconnect, or are told that there is no room. */
const SPARE_CONNECTIONS = 1_000;

/** The agents' port: mutual TLS, one long stream per agent, three unary calls over the same connection. */
export async function startLinkServer(
  deps: LinkServerDeps,
  address: { readonly host: string; readonly port: number },
  material: TlsMaterial,
): Promise<LinkServer> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': MAX_AGENT_MESSAGE_BYTES,
    'grpc.max_send_message_length': MAX_SERVER_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 8,
    'grpc.enable_channelz': 0,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    interceptors: [
      ({ path }, call) => {
        noteTooLarge(call);
        if (path === CONNECT_PATH) takeOver(call);
        // The class is what the types ask for; grpc-js needs the interface only, and a wrapper would cost each message something.
        return call as grpc.ServerInterceptingCall;
      },
    ],
  });
  // A call comes with the address of its connection, and the connection knows who it is.
  let listener: TlsListener;
  const connectionOf = (call: { getPeer(): string }): Connection => {
    const connection = listener.connection(call.getPeer());
    if (connection === undefined) throw new OpenlineError('SERVER_BUSY', 'the connection is closing');
    return connection;
  };
  /** grpc-js answers a message above its limit by itself, and the handler of the call hears only that the call is over. */
  function noteTooLarge(call: grpc.ServerInterceptingCallInterface): void {
    const sendStatus = call.sendStatus.bind(call);
    call.sendStatus = (ended) => {
      const connection = listener.connection(call.getPeer());
      if (ended.code === grpc.status.RESOURCE_EXHAUSTED && connection) connection.tooLarge = ended.details ?? '';
      sendStatus(ended);
    };
  }

  /** The session listens to the call itself: the stream object that grpc-js would put between costs memory per agent and time per message. */
  function takeOver(call: grpc.ServerInterceptingCallInterface): void {
    const start = call.start.bind(call);
    call.start = () => {
      let session: AgentSession | undefined;
      let connection: Connection | undefined;
      const ended = () => {
        if (connection?.tooLarge !== undefined)
          session?.input({ kind: 'close', code: 'MESSAGE_TOO_LARGE', why: connection.tooLarge });
        session?.streamEnded();
      };
      start({
        onReceiveMetadata() {
          try {
            connection = connectionOf(call);
            const agentId = agentIdOf(connection);
            connection.inUse = true;
            session = deps.attach(linkOver(call, connection, agentId));
          } catch (error) {
            call.sendStatus(refuse(call, 'Connect', error));
            return;
          }
          // The headers tell the agent that it is in.
          call.sendMetadata(new grpc.Metadata());
          call.startRead();
        },
        onReceiveMessage(bytes: Buffer) {
          try {
            session?.receive(bytes);
            call.startRead();
          } catch (error) {
            // Whatever one agent makes go wrong here is the end of its own stream: thrown on, it would end the process, and with it everybody's.
            call.sendStatus(refuse(call, 'Connect', error));
            session?.streamEnded();
          }
        },
        onReceiveHalfClose: ended,
        onCancel: ended,
      });
    };
  }

  const agentIdOf = (connection: Connection): string => {
    switch (connection.identity.kind) {
      case 'agent':
        return connection.identity.agentId;
      case 'none':
        throw new OpenlineError('CERTIFICATE_MISSING', 'no client certificate was presented');
      case 'refused':
        throw new OpenlineError(
          connection.identity.code,
          `the client certificate was refused: ${connection.identity.why}`,
        );
      default:
        return connection.identity satisfies never;
    }
  };

  function refuse(call: { getPeer(): string }, method: string, error: unknown): grpc.StatusObject {
    const metadata = new grpc.Metadata();
    if (error instanceof OpenlineError) {
      deps.onRefused(error.code);
      deps.log.warn({ remote: call.getPeer(), method, code: error.code, why: error.message }, 'agent call refused');
      metadata.set('openline-error-code', error.code);
      return {
        code: STATUS_OF[error.code] ?? grpc.status.INTERNAL,
        details: `[${error.code}] ${error.message}`,
        metadata,
      };
    }
    deps.log.error(
      { remote: call.getPeer(), method, error: error instanceof Error ? error.stack : String(error) },
      'agent call failed',
    );
    metadata.set('openline-error-code', 'INTERNAL');
    return { code: grpc.status.INTERNAL, details: '[INTERNAL] see the log of the server', metadata };
  }

  function unary<Req, Res>(
    method: string,
    handle: (request: Req, connection: Connection) => Promise<Res>,
  ): grpc.handleUnaryCall<Req, Res> {
    return (call, callback) => {
      Promise.resolve()
        .then(() => handle(call.request, connectionOf(call)))
        .then(
          (response) => callback(null, response),
          (error: unknown) => callback(refuse(call, method, error)),
        );
    };
  }

  const definition = {
    enroll: method('Enroll', EnrollRequest, EnrollResponse),
    renew: method('Renew', RenewRequest, RenewResponse),
    fetchPack: method('FetchPack', FetchPackRequest, FetchPackResponse),
    connect: {
      path: CONNECT_PATH,
      requestStream: true,
      responseStream: true,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    },
  };
  server.addService(definition, {
    enroll: unary(
      'Enroll',
      async ({ credential, csrDer, name }: EnrollRequest, connection): Promise<EnrollResponse> => {
        if (credential === undefined) throw new OpenlineError('JOIN_TOKEN_INVALID', 'no join token was given');
        const enrolled =
          credential.$case === 'joinToken'
            ? await deps.enrollment.enrollWithToken(credential.value, csrDer, name)
            : await deps.enrollment.enrollNode(credential.value, csrDer);
        // A node that proves itself anew over its link keeps it.
        if (connection.identity.kind === 'agent' && connection.identity.agentId === enrolled.agentId)
          connection.certificateExpiresUnixMs = enrolled.notAfter.getTime();
        return { ...enrolled, caPem: deps.caPem(), trustedPackKeys: deps.trustedPackKeys() };
      },
    ),
    renew: unary('Renew', async ({ csrDer }: RenewRequest, connection): Promise<RenewResponse> => {
      const issued = await deps.enrollment.renew(agentIdOf(connection), csrDer);
      connection.certificateExpiresUnixMs = issued.notAfter.getTime();
      return { certificatePem: issued.certificatePem, caPem: deps.caPem() };
    }),
    fetchPack: unary('FetchPack', async ({ digest }: FetchPackRequest, connection): Promise<FetchPackResponse> => {
      // Within a session only: a certificate alone may be that of an agent that was revoked.
      if (!deps.isConnected(agentIdOf(connection)))
        throw new OpenlineError('PROTOCOL_VIOLATION', 'packs are fetched by agents with a session');
      const stored = deps.packs.byDigest(digest);
      if (stored === undefined)
        throw new OpenlineError(
          'PACK_UNKNOWN',
          `there is no pack ${Buffer.from(digest).toString('hex').slice(0, 16)}…`,
        );
      return { content: stored.content, signature: stored.signature };
    }),
    connect() {
      throw new Error('Connect was not taken over');
    },
  });

  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  listener = await listenTls(address, material, {
    trustDomain: deps.trustDomain,
    maxConnections: deps.maxAgents + SPARE_CONNECTIONS,
    onConnection: (socket) => injector.injectConnection(socket),
    onHandshake(outcome, remoteAddress, why) {
      deps.onHandshake(outcome);
      if (outcome === 'failed') deps.log.warn({ remote: remoteAddress, why }, 'TLS handshake failed');
    },
  });

  return {
    port: listener.port,
    setMaterial: (next) => listener.setMaterial(next),
    async stop() {
      listener.stopAccepting();
      injector.drain(500);
      await new Promise<void>((resolve) => {
        server.tryShutdown(() => resolve());
        setTimeout(resolve, 1_500).unref();
      });
      listener.destroyAll();
      injector.destroy();
    },
  };
}

function method<Req, Res>(name: string, request: Codec<Req>, response: Codec<Res>): grpc.MethodDefinition<Req, Res> {
  return {
    path: `${PATH}${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) => Buffer.from(request.encode(value).finish()),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (value) => Buffer.from(response.encode(value).finish()),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

function linkOver(call: grpc.ServerInterceptingCallInterface, connection: Connection, agentId: string): Link {
  return {
    agentId,
    remoteAddress: connection.remoteAddress,
    tlsProtocol: connection.tlsProtocol,
    tlsCipher: connection.tlsCipher,
    certificateExpiresUnixMs: () => connection.certificateExpiresUnixMs,
    write: (message, flushed) => call.sendMessage(message, flushed),
    end: () => call.sendStatus({ code: grpc.status.OK, details: 'OK', metadata: new grpc.Metadata() }),
    destroy: () => connection.destroy(),
    socketBytes: () => connection.socketBytes(),
  };
}
