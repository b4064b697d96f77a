import {
  Metadata,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { OpenlineError } from '@openline/proto/errors';
import type { Principal } from '../access/access.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Admission, Door } from './door.ts';
import { shortName } from './roles.ts';
import { toRefusal } from './status.ts';
import { pump } from './stream.ts';

export interface CallContext {
  readonly principal: Principal;
  /** Aborts when the caller has gone, its token was revoked, or the server stops. */
  readonly signal: AbortSignal;
}

/** What a service of the .proto file asks to be written: a function per method, from request to answer or to a stream of answers. */
export type Handlers<Service> = {
  readonly [Name in keyof Service]: Service[Name] extends {
    responseStream: infer Streams;
    requestDeserialize: (bytes: Buffer) => infer Request;
    responseSerialize: (value: infer Response) => Buffer;
  }
    ? (request: Request, context: CallContext) => Streams extends true ? AsyncIterable<Response> : Promise<Response>
    : never;
};

export interface ServeDeps {
  readonly server: Server;
  readonly door: Door;
  readonly streams: StreamTable;
  readonly log: Pick<Logger, 'error'>;
}

const RECHECK_MS = 60_000;
/** Without a reason of our own each call would end with an error that is made, its stack included, for nobody. */
const OVER = 'the call is over';

/** Adds a service to the server. Errors become statuses here, and streams end here; handlers know nothing of gRPC. */
export function serve<Service extends ServiceDefinition>(
  { server, door, streams, log }: ServeDeps,
  service: Service,
  handlers: Handlers<Service>,
): void {
  const implementation: UntypedServiceImplementation = {};
  for (const [name, { path, responseStream }] of Object.entries(service)) {
    const method = shortName(path);
    // Handlers<Service> has checked each pair of method and function; their types do not survive Object.entries.
    const handler = handlers[name] as (request: unknown, context: CallContext) => unknown;

    const unary = async (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): Promise<void> => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      try {
        callback(
          null,
          await handler(call.request, { principal: door.admissionOf(call).principal, signal: gone.signal }),
        );
      } catch (error) {
        callback(toRefusal(error, method, log));
      }
    };

    const streaming = async (call: ServerWritableStream<unknown, unknown>): Promise<void> => {
      const ending = new AbortController();
      call.on('cancelled', () => ending.abort(OVER));
      // Also an answer's own failure to serialize ends the call and comes here.
      call.on('close', () => ending.abort(OVER));
      const recheck = setInterval(() => recheckToken(door.admissionOf(call), ending), RECHECK_MS);
      let leave = () => {};
      try {
        const { principal } = door.admissionOf(call);
        leave = streams.enter(principal, ending);
        // At once, so that the caller knows it is in, even when nothing is to be said yet.
        call.sendMetadata(new Metadata());
        const items = handler(call.request, { principal, signal: ending.signal }) as AsyncIterable<unknown>;
        await pump(call, items, ending.signal);
        if (ending.signal.reason instanceof OpenlineError) throw ending.signal.reason;
        call.end();
      } catch (error) {
        if (!call.cancelled) call.emit('error', toRefusal(error, method, log));
      } finally {
        clearInterval(recheck);
        leave();
      }
    };

    implementation[name] = responseStream ? streaming : unary;
  }
  server.addService(service, implementation);
}

function recheckToken(admission: Admission, ending: AbortController): void {
  admission.recheck().catch((error: unknown) => {
    // A database that does not answer is no reason to end what was allowed.
    if (error instanceof OpenlineError && error.code === 'UNAUTHENTICATED') ending.abort(error);
  });
}

const MAX_STREAMS_PER_PRINCIPAL = 64;

/** The streams that are open now: bounded per principal, and ended together when the server stops. */
export class StreamTable {
  readonly #open = new Map<string, Set<AbortController>>();
  #stopping: OpenlineError | undefined;

  /** @returns a function that gives the place back. @throws OpenlineError SERVER_BUSY, SERVER_STOPPING */
  enter(principal: Principal, stream: AbortController): () => void {
    if (this.#stopping !== undefined) throw this.#stopping;
    const mine = this.#open.get(principal.id) ?? new Set();
    if (mine.size >= MAX_STREAMS_PER_PRINCIPAL) {
      throw new OpenlineError(
        'SERVER_BUSY',
        `the token «${principal.name}» has ${mine.size} streams open, and may have ${MAX_STREAMS_PER_PRINCIPAL}`,
      );
    }
    this.#open.set(principal.id, mine.add(stream));
    return () => {
      mine.delete(stream);
      if (mine.size === 0 && this.#open.get(principal.id) === mine) this.#open.delete(principal.id);
    };
  }

  endAll(why: OpenlineError): void {
    this.#stopping = why;
    for (const streams of this.#open.values()) for (const stream of streams) stream.abort(why);
  }

  get size(): number {
    return [...this.#open.values()].reduce((sum, streams) => sum + streams.size, 0);
  }
}
