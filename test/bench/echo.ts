import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type handleBidiStreamingCall,
  Metadata,
  type MethodDefinition,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';

/** The least that grpc-js can do over a bidirectional stream: bytes in, bytes out, nothing encoded. What Openline is measured against. */
const passThrough = (bytes: Buffer): Buffer => bytes;
const connect: MethodDefinition<Buffer, Buffer> = {
  path: '/benchmark.Echo/Connect',
  requestStream: true,
  responseStream: true,
  requestSerialize: passThrough,
  requestDeserialize: passThrough,
  responseSerialize: passThrough,
  responseDeserialize: passThrough,
};

/** Writes per turn of the event loop; more at once would hold up everything else (grpc-js.md: a plain loop blocks 100 ms). */
const WRITES_PER_TURN = 500;

export interface EchoServer {
  readonly port: number;
  /** One message down each of the open streams, and one back; resolves with the milliseconds until the last came back. */
  round(payload: Buffer): Promise<number>;
  streams(): number;
  stop(): void;
}

export async function startEchoServer(credentials: ServerCredentials): Promise<EchoServer> {
  const streams = new Set<ServerDuplexStream<Buffer, Buffer>>();
  let awaited = 0;
  let allBack = (): void => {};
  const handle: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.sendMetadata(new Metadata()); // the client is in
    streams.add(call);
    const forget = (): void => void streams.delete(call);
    call.on('data', () => {
      awaited--;
      if (awaited === 0) allBack();
    });
    call.on('end', () => call.end());
    call.on('cancelled', forget);
    call.on('close', forget);
    call.on('error', forget);
  };
  const server = new Server({ 'grpc.enable_channelz': 0, 'grpc.max_concurrent_streams': 8 });
  server.addService({ connect }, { connect: handle });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return {
    port,
    streams: () => streams.size,
    stop: () => server.forceShutdown(),
    async round(payload) {
      const startMs = performance.now();
      const done = new Promise<void>((resolve) => {
        allBack = resolve;
      });
      awaited = streams.size;
      let written = 0;
      for (const stream of [...streams]) {
        stream.write(payload);
        written++;
        if (written % WRITES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await done;
      return performance.now() - startMs;
    },
  };
}

/** Opens `count` streams, each over a TCP connection and TLS session of its own, and echoes what comes. Resolves when all are in. */
export async function connectEchoClients(
  address: string,
  credentials: ChannelCredentials,
  count: number,
  concurrency: number,
): Promise<{ wallMs: number; close(): void }> {
  const clients: Client[] = [];
  let next = 0;
  const startMs = performance.now();
  const connectInTurn = async (): Promise<void> => {
    while (next < count) {
      next++;
      const client = new Client(address, credentials, {
        'grpc.use_local_subchannel_pool': 1, // else every client of the process shares one connection
        'grpc.per_rpc_retry_buffer_size': 65_536,
        'grpc.enable_channelz': 0,
        'grpc.ssl_target_name_override': 'localhost',
      });
      clients.push(client);
      await openStream(client);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, connectInTurn));
  return {
    wallMs: performance.now() - startMs,
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

function openStream(client: Client): Promise<ClientDuplexStream<Buffer, Buffer>> {
  return new Promise((resolve, reject) => {
    const stream = client.makeBidiStreamRequest(connect.path, passThrough, passThrough);
    stream.on('metadata', () => resolve(stream));
    stream.on('data', (bytes: Buffer) => stream.write(bytes));
    stream.on('error', reject);
  });
}
