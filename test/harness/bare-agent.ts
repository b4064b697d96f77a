import { randomUUID } from 'node:crypto';
import { ChannelCredentials, Client, type ClientDuplexStream, Metadata, type StatusObject } from '@grpc/grpc-js';
import {
  AgentMessage,
  type Disconnect,
  FetchPackRequest,
  FetchPackResponse,
  Hello,
  ServerMessage,
  type Welcome,
} from '@openline/proto/agent';
import { ERROR_CODE_METADATA } from '@openline/proto/errors';
import { eventually } from './eventually.ts';

/** Who it says to be. */
export interface Credentials {
  readonly caPem: string;
  /** Without: no client certificate. */
  readonly certificatePem?: string;
  readonly keyPem?: string;
}

/** The link without an agent behind it: says what an agent of ours never would. */
export interface BareAgent {
  /** Hello, with what a test wants different. */
  hello(changes?: Partial<Hello>): void;
  send(message: AgentMessage): void;
  /** As they are: not even protobuf. */
  sendBytes(bytes: Buffer): void;
  readonly received: readonly ServerMessage[];
  /** Called after each message that came. */
  onMessage(listener: () => void): void;
  welcomed(): Promise<Welcome>;
  /** What it was told before the server hung up. */
  disconnected(): Promise<Disconnect>;
  fetchPack(digest: Uint8Array): Promise<FetchPackResponse>;
  /** How the stream ended: gRPC's status, and our code if it names one. */
  readonly ended: Promise<{ code: number; details: string; errorCode: string }>;
  close(): void;
}

const raw = (bytes: Buffer): Buffer => bytes;
const CONNECT = '/openline.agent.v1.AgentService/Connect';
const FETCH_PACK = '/openline.agent.v1.AgentService/FetchPack';

export function bareAgent(port: number, { caPem, keyPem, certificatePem }: Credentials): BareAgent {
  const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
  const credentials = ChannelCredentials.createSsl(Buffer.from(caPem), pem(keyPem), pem(certificatePem));
  const client = new Client(`localhost:${port}`, credentials, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
  });
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(CONNECT, raw, raw, new Metadata());
  const received: ServerMessage[] = [];
  const listeners: (() => void)[] = [];
  call.on('data', (bytes: Buffer) => {
    received.push(ServerMessage.decode(bytes));
    for (const listener of listeners) listener();
  });
  call.on('error', () => {}); // `status` says the same
  const ended = new Promise<{ code: number; details: string; errorCode: string }>((resolve) => {
    call.on('status', ({ code, details, metadata }: StatusObject) => {
      resolve({ code, details, errorCode: String(metadata.get(ERROR_CODE_METADATA)[0] ?? '') });
      client.close();
    });
  });
  const sendBytes = (bytes: Buffer): void => void call.write(bytes);
  const send = (message: AgentMessage): void => sendBytes(Buffer.from(AgentMessage.encode(message).finish()));
  const kinds = () => received.map(({ kind }) => kind);
  return {
    hello(changes = {}) {
      const ids = { journalId: randomUUID(), instanceId: randomUUID(), machineId: randomUUID() };
      const value = Hello.create({ protocolMin: 1, protocolMax: 1, agentVersion: '0.0.0', ...ids, ...changes });
      send({ kind: { $case: 'hello', value } });
    },
    send,
    sendBytes,
    received,
    onMessage: (listener) => void listeners.push(listener),
    welcomed: () => eventually(() => kinds().find((kind) => kind?.$case === 'welcome')?.value, { what: 'a welcome' }),
    disconnected: () =>
      eventually(() => kinds().find((kind) => kind?.$case === 'disconnect')?.value, { what: 'a disconnect' }),
    fetchPack: (digest) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          FETCH_PACK,
          (request: FetchPackRequest) => Buffer.from(FetchPackRequest.encode(request).finish()),
          (bytes) => FetchPackResponse.decode(bytes),
          { digest: Buffer.from(digest) },
          (error, response) => (response === undefined ? reject(error) : resolve(response)),
        );
      }),
    ended,
    close() {
      call.cancel();
      client.close();
    },
  };
}
