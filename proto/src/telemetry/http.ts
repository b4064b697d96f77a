import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { OpenlineError } from '../errors.ts';
import { formatHostPort, type HostPort } from '../host-port.ts';
import type { Registry } from './registry.ts';

export interface Health {
  /** What keeps the process from being ready, one line each; empty: it is. */
  notReady(): Promise<readonly string[]>;
}

export interface TelemetryHttp {
  readonly address: HostPort;
  close(): Promise<void>;
}

const READY_WITHIN_MS = 2_000;

/**
 * `/metrics` (Prometheus), `/healthz` (the process answers) and `/readyz` (it can do its work). Plain HTTP without authentication, as
 * scrapers and probes want it: it shows no names, and is bound to the loopback address unless configured otherwise.
 * @throws OpenlineError PORT_IN_USE, CONFIG_INVALID the address is none of this machine
 */
export async function startTelemetryHttp({
  listen,
  metrics,
  health,
}: {
  listen: HostPort;
  metrics: Pick<Registry, 'render'>;
  health: Health;
}): Promise<TelemetryHttp> {
  const notReady = shared(() => within(health.notReady(), READY_WITHIN_MS));
  const server = createServer((request, response) => {
    answer(request, response, metrics, notReady).catch(() => {
      if (!response.headersSent) respond(response, 500, 'failed\n');
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const where = formatHostPort(listen);
      reject(
        cause.code === 'EADDRINUSE'
          ? new OpenlineError('PORT_IN_USE', `another program listens on ${where} (metricsListen)`, { cause })
          : new OpenlineError('CONFIG_INVALID', `metricsListen: cannot listen there (${cause.code})`, { cause }),
      );
    });
    server.listen(listen.port, listen.host, resolve);
  });
  // A connection that could not be accepted, for want of memory or files, is lost, and not the process with it.
  server.on('error', () => {});
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : listen.port;
  return {
    address: { host: listen.host, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  metrics: Pick<Registry, 'render'>,
  notReady: Health['notReady'],
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return respond(response, 405, 'only GET\n');
  const path = request.url?.split('?', 1)[0];
  switch (path) {
    case '/metrics': {
      const { contentType, body } = await metrics.render();
      return respond(response, 200, body, contentType);
    }
    case '/healthz':
      return respond(response, 200, 'ok\n');
    case '/readyz': {
      const reasons = await notReady();
      return reasons.length === 0 ? respond(response, 200, 'ok\n') : respond(response, 503, `${reasons.join('\n')}\n`);
    }
    default:
      return respond(response, 404, 'there are /metrics, /healthz and /readyz\n');
  }
}

function respond(response: ServerResponse, status: number, body: string, contentType = 'text/plain; charset=utf-8') {
  response.writeHead(status, { 'content-type': contentType }).end(body);
}

/** Who asks while a check is under way has its answer: anybody may ask, and each check is a query to the database. */
function shared<T>(check: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= check().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** A probe wants an answer, also when the database gives none. */
async function within(check: Promise<readonly string[]>, ms: number): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve([`no answer within ${ms} ms`]), ms);
  });
  try {
    return await Promise.race([check.catch((error: Error) => [error.message]), late]);
  } finally {
    clearTimeout(timer);
  }
}
