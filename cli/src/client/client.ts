import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { isLoopback } from '../config/address.ts';
import type { Connection } from '../config/locate.ts';
import { CliError } from '../failure.ts';
import { explain, isPassing } from './explain.ts';

/** One method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** The server sits in our own data centre and is trusted; a snapshot of 50,000 dispatches is some 10 MB. */
const MAX_RECEIVE_BYTES = 128 * 1024 * 1024;
/** From request to answer of a unary call, milliseconds; a run on 50,000 targets is committed in a few seconds. */
const DEFAULT_DEADLINE_MS = 30_000;
/** To the first sign of life of a stream. grpc-js itself waits for ever for a peer that accepts and stays silent. */
const FIRST_SIGN_MS = 15_000;

export interface UnaryOptions {
  /** From request to answer, milliseconds; default DEFAULT_DEADLINE_MS. */
  readonly deadlineMs?: number;
  /** Told the HTTP date header of the answer, when it has one. */
  readonly onDate?: (date: string) => void;
}

export interface OperatorClient {
  readonly connection: Connection;
  /** @throws OpenlineError what the server refused with, or SERVER_UNREACHABLE, SERVER_UNTRUSTED */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options?: UnaryOptions,
  ): Promise<Response>;
  /** As `unary`, and asks again while the connection cannot be had. Only for what may be asked twice. */
  unaryPatient<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    forMs: number,
  ): Promise<Response>;
  /** Ends by itself, or when the signal aborts. @throws OpenlineError as `unary`, from the iterator */
  stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): AsyncIterable<Response>;
  close(): void;
}

export function createClient(connection: Connection): OperatorClient {
  const { address, token, ca } = connection;
  let secure: ReturnType<typeof credentials.createSsl>;
  try {
    secure = credentials.createSsl(ca === undefined ? null : Buffer.from(ca));
  } catch (error) {
    throw new CliError(
      'CONFIG_INVALID',
      `the CA certificate (${connection.caFrom ?? 'system'}) cannot be read`,
      'Give a PEM file.',
      { cause: error },
    );
  }
  const client = new Client(address.text, secure, {
    'grpc.max_receive_message_length': MAX_RECEIVE_BYTES,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // Ours is the only judgement of when to try again: a server restart is a matter of a second.
    'grpc.initial_reconnect_backoff_ms': 250,
    'grpc.min_reconnect_backoff_ms': 250,
    'grpc.max_reconnect_backoff_ms': 2_000,
    ...(isLoopback(address.host) ? { 'grpc.enable_http_proxy': 0 } : {}),
  });
  const metadata = () => {
    const headers = new Metadata();
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return headers;
  };
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new CliError(
      'CONFIG_INVALID',
      `the token (${connection.tokenFrom ?? ''}) holds characters that no token has`,
      'Copy it again, whole and without quotes.',
    );
  }

  const self: OperatorClient = {
    connection,
    unary(method, request, options = {}) {
      const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
      return new Promise((resolve, reject) => {
        const call = client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadata(),
          { deadline: Date.now() + deadlineMs },
          (error, response) => {
            if (error !== null) reject(explain(error, connection, deadlineMs));
            else if (response === undefined)
              reject(
                new CliError(
                  'INTERNAL',
                  `the server answered ${method.path} with nothing`,
                  'Upgrade the older of the two.',
                ),
              );
            else resolve(response);
          },
        );
        const { onDate } = options;
        if (onDate === undefined) return;
        call.once('metadata', (headers) => {
          const [date] = headers.get('date');
          if (typeof date === 'string') onDate(date);
        });
      });
    },

    async unaryPatient(method, request, forMs) {
      const untilMs = performance.now() + forMs;
      for (;;) {
        try {
          return await self.unary(method, request);
        } catch (error) {
          if (!isPassing(error) || performance.now() > untilMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, 250));
        }
      }
    },

    async *stream(method, request, signal) {
      if (signal.aborted) return;
      const call = client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata(),
      );
      let silent = false;
      const watchdog = setTimeout(() => {
        silent = true;
        call.cancel();
      }, FIRST_SIGN_MS);
      const alive = () => clearTimeout(watchdog);
      call.once('metadata', alive);
      const onAbort = () => call.cancel();
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        for await (const message of call) {
          alive();
          yield message;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (silent) throw explain({ code: status.DEADLINE_EXCEEDED, details: '' }, connection, FIRST_SIGN_MS);
        throw explain(error as ServiceError, connection, FIRST_SIGN_MS);
      } finally {
        alive();
        signal.removeEventListener('abort', onAbort);
        call.on('error', () => {}); // a cancelled call reports it, and nobody is left to hear
        call.cancel();
      }
    },

    close: () => client.close(),
  };
  return self;
}
