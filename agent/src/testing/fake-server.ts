import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  type AgentMessage,
  type AgentServiceServer,
  AgentServiceService,
  type EnrollRequest,
  type EnrollResponse,
  type FetchPackRequest,
  type FetchPackResponse,
  type RenewRequest,
  type RenewResponse,
  type ServerMessage,
  Welcome,
} from '@openline/proto/agent';
import type { Issued } from './certificates.ts';

export type Call = ServerDuplexStream<AgentMessage, ServerMessage>;

/** One stream as the server sees it. */
export interface Seen {
  readonly call: Call;
  /** "127.0.0.1:40123": the agent's end of the TCP connection. */
  readonly peer: string;
  readonly received: AgentMessage[];
  ended: boolean;
}

export interface FakeServer {
  readonly port: number;
  readonly address: string;
  readonly streams: Seen[];
  readonly enrolls: EnrollRequest[];
  /** Peers of the unary calls. */
  readonly unaryPeers: string[];
  stop(): Promise<void>;
}

export interface FakeBehaviour {
  readonly identity: Issued;
  /** Default 100. */
  readonly heartbeatMs?: number;
  /** Default: welcomes Hello and acknowledges heartbeats. */
  readonly onMessage?: (seen: Seen, message: AgentMessage, normally: () => void) => void;
  readonly enroll?: (request: EnrollRequest) => EnrollResponse | Promise<EnrollResponse>;
  readonly renew?: (request: RenewRequest) => RenewResponse | Promise<RenewResponse>;
  readonly fetchPack?: (request: FetchPackRequest) => FetchPackResponse;
  /** Default 0: a free one. */
  readonly port?: number;
}

/** A management server of the smallest kind: it speaks the protocol, and misbehaves on request. */
export async function startFakeServer(behaviour: FakeBehaviour): Promise<FakeServer> {
  const streams: Seen[] = [];
  const enrolls: EnrollRequest[] = [];
  const unaryPeers: string[] = [];
  const server = new Server({ 'grpc.enable_channelz': 0 });
  const answer = <Q, A>(
    run: ((request: Q) => A | Promise<A>) | undefined,
    call: { request: Q; getPeer(): string },
    callback: sendUnaryData<A>,
  ) => {
    unaryPeers.push(call.getPeer());
    if (!run) return callback({ code: status.UNIMPLEMENTED, details: 'not here' });
    Promise.resolve()
      .then(() => run(call.request))
      .then(
        (value) => callback(null, value),
        (error: Partial<ServiceError>) =>
          callback({
            code: error.code ?? status.INTERNAL,
            details: error.details ?? String(error.message),
            ...(error.metadata ? { metadata: error.metadata } : {}),
          }),
      );
  };
  const service: AgentServiceServer = {
    enroll: (call, callback) => {
      enrolls.push(call.request);
      answer(behaviour.enroll, call, callback);
    },
    renew: (call, callback) => answer(behaviour.renew, call, callback),
    fetchPack: (call, callback) => answer(behaviour.fetchPack, call, callback),
    connect: (call: Call) => {
      const seen: Seen = { call, peer: call.getPeer(), received: [], ended: false };
      streams.push(seen);
      call.on('error', () => undefined);
      call.on('cancelled', () => {
        seen.ended = true;
      });
      call.on('end', () => {
        seen.ended = true;
        call.end();
      });
      call.on('data', (message: AgentMessage) => {
        seen.received.push(message);
        const normally = () => respond(call, message, behaviour.heartbeatMs ?? 100, BigInt(streams.length));
        if (behaviour.onMessage) behaviour.onMessage(seen, message, normally);
        else normally();
      });
    },
  };
  server.addService(AgentServiceService, service);
  const { identity } = behaviour;
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(identity.keyPem), cert_chain: Buffer.from(identity.certificatePem) },
  ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${behaviour.port ?? 0}`, credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    port,
    address: `localhost:${port}`,
    streams,
    enrolls,
    unaryPeers,
    async stop() {
      for (const { call } of streams) call.destroy();
      server.forceShutdown();
    },
  };
}

function respond(call: Call, message: AgentMessage, heartbeatIntervalMs: number, sessionEpoch: bigint) {
  if (message.kind?.$case === 'hello') {
    const value = Welcome.create({
      protocol: 1,
      agentId: 'agent-1',
      agentName: 'one',
      sessionEpoch,
      heartbeatIntervalMs,
      outputWindowBytes: 65_536,
    });
    call.write({ kind: { $case: 'welcome', value } });
  }
  if (message.kind?.$case === 'heartbeat') {
    call.write({ kind: { $case: 'heartbeatAck', value: { seq: message.kind.value.seq, committedRunIds: [] } } });
  }
}

/** Waits for something to become true; polls, since what is waited for happens in sockets. */
export async function until(condition: () => boolean, what: string, timeoutMs = 25_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
