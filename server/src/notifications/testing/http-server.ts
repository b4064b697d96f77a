import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A real HTTP server for tests: keeps what it was asked, and answers what it is told to. */

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpServer {
  readonly port: number;
  readonly url: string;
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

/** @param reply 'hang up': the connection is closed without an answer; 'silence': there is none */
export async function startHttpServer(
  reply: (asked: Asked, count: number) => Reply | 'hang up' | 'silence' = () => ({ status: 200, body: 'ok' }),
  tls?: { readonly key: string; readonly cert: string },
): Promise<HttpServer> {
  const asked: Asked[] = [];
  const listener: Parameters<typeof createServer>[1] = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      asked.push(one);
      const answer = reply(one, asked.length);
      if (answer === 'hang up') request.socket.destroy();
      else if (answer !== 'silence') response.writeHead(answer.status, answer.headers).end(answer.body ?? '');
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${tls === undefined ? 'http' : 'https'}://localhost:${port}`,
    asked,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
