// One side of the bare benchmark, as a process of its own: `server` or `client`. Started by bare.ts, spoken to over IPC.
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import type { TestIdentity } from './certificates.ts';
import { obeyParent } from './child.ts';
import { connectEchoClients, type EchoServer, startEchoServer } from './echo.ts';
import { rssKb } from './process-usage.ts';

export type Order =
  | { kind: 'serve'; caPem: string; identity: TestIdentity }
  | { kind: 'connect'; caPem: string; identity: TestIdentity; port: number; count: number; concurrency: number }
  | { kind: 'rounds'; count: number; payloadBytes: number }
  | { kind: 'memory' };

export type Answer =
  | { kind: 'serving'; port: number }
  | { kind: 'connected'; wallMs: number }
  | { kind: 'rounds'; roundMs: number[]; streams: number }
  | { kind: 'memory'; rssKb: number };

let server: EchoServer | undefined;

async function obey(order: Order): Promise<Answer> {
  switch (order.kind) {
    case 'serve': {
      const pair = {
        private_key: Buffer.from(order.identity.keyPem),
        cert_chain: Buffer.from(order.identity.certificatePem),
      };
      server = await startEchoServer(ServerCredentials.createSsl(Buffer.from(order.caPem), [pair], true));
      return { kind: 'serving', port: server.port };
    }
    case 'connect': {
      const { caPem, identity, port, count, concurrency } = order;
      const credentials = ChannelCredentials.createSsl(
        Buffer.from(caPem),
        Buffer.from(identity.keyPem),
        Buffer.from(identity.certificatePem),
      );
      const { wallMs } = await connectEchoClients(`127.0.0.1:${port}`, credentials, count, concurrency);
      return { kind: 'connected', wallMs };
    }
    case 'rounds': {
      if (server === undefined) throw new Error('not serving');
      const payload = Buffer.alloc(order.payloadBytes, 'x');
      const roundMs: number[] = [];
      for (let round = 0; round < order.count; round++) roundMs.push(await server.round(payload));
      return { kind: 'rounds', roundMs, streams: server.streams() };
    }
    case 'memory':
      return { kind: 'memory', rssKb: await rssKb(process.pid) };
    default:
      return order satisfies never;
  }
}

obeyParent(obey);
