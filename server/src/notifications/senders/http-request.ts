import { lookup } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { urlProblem } from '../channels/read-targets.ts';
import type { AddressGuard } from './address-guard.ts';
import { reasonOf } from './sender.ts';

/** One POST to an address that may be asked. */
export interface HttpPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly ca: string | undefined;
  readonly followRedirects: boolean;
  readonly guard: AddressGuard;
  readonly signal: AbortSignal;
  /** Awaited when the connection stands and nothing has been written to it. */
  handOver(): Promise<void>;
}

export interface HttpAnswer {
  readonly status: number;
  /** Seconds or a date, as sent. */
  readonly retryAfter: string | undefined;
  readonly location: string | undefined;
  /** The beginning. */
  readonly body: string;
}

/** The other side was not reached, or may not be: nothing was written. */
export class NotReached extends Error {
  override readonly name = 'NotReached';
}
/** Something was written, and no whole answer came. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

const MAX_REDIRECTS = 5;
const MAX_BODY_BYTES = 16 * 1024;
/** The method and body stay as they are with these two only. */
const REPEATABLE = new Set([307, 308]);

/** @throws NotReached, NoAnswer; what `handOver` throws */
export async function post(wanted: HttpPost): Promise<HttpAnswer> {
  let { url, headers } = wanted;
  let handedOver = false;
  for (let hops = 0; ; hops++) {
    const socket = await connectTo(url, wanted);
    try {
      if (!handedOver) await wanted.handOver();
      handedOver = true;
      const answer = await exchange(socket, url, headers, wanted);
      if (!wanted.followRedirects || !REPEATABLE.has(answer.status) || answer.location === undefined) return answer;
      if (hops >= MAX_REDIRECTS) return answer;
      const next = new URL(answer.location, url);
      const problem =
        urlProblem(next.href) ??
        (url.startsWith('https:') && next.protocol !== 'https:' ? 'would leave TLS' : undefined);
      if (problem !== undefined) return answer;
      // What was meant for one host is not shown to another.
      if (next.origin !== new URL(url).origin) headers = withoutSecrets(headers);
      url = next.href;
    } finally {
      socket.destroy();
    }
  }
}

function withoutSecrets(headers: HttpPost['headers']): HttpPost['headers'] {
  const kept = /^(content-type|user-agent|x-openline-)/i;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => kept.test(name)));
}

/** To an address that was looked at: nothing is resolved a second time. */
async function connectTo(url: string, { guard, ca, signal }: HttpPost): Promise<Socket> {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const addresses = isIP(host) > 0 ? [host] : await resolve(host, signal);
  for (const address of addresses) {
    const why = guard.refuses(address);
    if (why !== undefined)
      throw new NotReached(
        `${host} is ${why}${address === host ? '' : ` (${address})`}, which notifyAllow does not allow`,
      );
  }
  let last: unknown;
  for (const address of addresses) {
    try {
      const target = { host: address, port: Number(port || (protocol === 'https:' ? 443 : 80)) };
      if (protocol === 'http:') return await opened(connectTcp(target), 'connect', signal);
      const names = isIP(host) > 0 ? {} : { servername: host };
      const tls = { ...target, ...names, minVersion: 'TLSv1.2' as const, ...(ca === undefined ? {} : { ca }) };
      return await opened(connectTls(tls), 'secureConnect', signal);
    } catch (error) {
      if (signal.aborted) throw new NotReached(reasonOf(signal.reason), { cause: error });
      last = error;
    }
  }
  throw new NotReached(reasonOf(last), { cause: last });
}

async function resolve(host: string, signal: AbortSignal): Promise<string[]> {
  try {
    const found = await Promise.race([lookup(host, { all: true }), aborted(signal)]);
    return found.map(({ address }) => address).slice(0, 8);
  } catch (error) {
    throw new NotReached(reasonOf(error), { cause: error });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function opened(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  return new Promise((resolvePromise, reject) => {
    const onAbort = () =>
      socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('it took too long'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once(event, () => {
      signal.removeEventListener('abort', onAbort);
      resolvePromise(socket);
    });
  });
}

function exchange(
  socket: Socket,
  url: string,
  headers: HttpPost['headers'],
  { body, signal }: HttpPost,
): Promise<HttpAnswer> {
  return new Promise((resolvePromise, reject) => {
    const { pathname, search, host } = new URL(url);
    const fail = (error: unknown) => reject(new NoAnswer(reasonOf(error), { cause: error }));
    const request = requestHttp({
      createConnection: () => socket,
      method: 'POST',
      path: `${pathname}${search}`,
      headers: { host, ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
      signal,
    });
    request.once('error', fail);
    request.once('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const answer = () =>
        resolvePromise({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          location: response.headers.location,
          body: Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString('utf8').toWellFormed(),
        });
      response.on('data', (chunk: Buffer) => {
        if (size < MAX_BODY_BYTES) chunks.push(chunk);
        size += chunk.length;
        // What it says at such length is of no interest; its status is known.
        if (size >= MAX_BODY_BYTES) {
          answer();
          response.destroy();
        }
      });
      // The status is what counts: an answer that breaks off has been given all the same.
      response.once('error', answer);
      response.once('close', answer);
    });
    request.end(body);
  });
}
