import { Resolver } from 'node:dns/promises';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Probe } from '@openline/packs';

/** Probes over the network. What does not answer is a finding, not a failure of the probe: `ok` is false and `error` says why. */

type Of<K extends Probe['kind']> = Extract<Probe, { kind: K }>;

/** Of an answer's body, for the pattern. */
const MAX_BODY_BYTES = 256 * 1024;

interface Finding {
  readonly ok: boolean;
  readonly error: string;
  readonly duration_ms: number;
}

export interface HttpFinding extends Finding {
  /** 0: there was no answer. */
  readonly status: number;
  readonly body_matches: boolean;
}

/** Redirects are not followed: they are an answer. @param matches whether a body is as it should be */
export function probeHttp(
  probe: Of<'http'>,
  matches: (body: string) => boolean,
  signal: AbortSignal,
): Promise<HttpFinding> {
  const startMs = performance.now();
  return new Promise((resolve) => {
    let call: ClientRequest | undefined;
    const done = (found: Partial<HttpFinding>) => {
      resolve({ ok: false, status: 0, body_matches: false, error: '', ...found, duration_ms: sinceMs(startMs) });
      call?.destroy();
    };
    const onAnswer = (answer: IncomingMessage) => {
      const status = answer.statusCode ?? 0;
      const ends = (body: string) => {
        const fits = matches(body);
        const error = status >= 400 ? `it answers ${status}` : fits ? '' : 'the body is not as it should be';
        done({ ok: error === '', status, body_matches: fits, error });
      };
      if (probe.pattern === undefined || probe.method === 'HEAD') return ends('');
      const parts: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        if (bytes >= MAX_BODY_BYTES) ends(Buffer.concat(parts).toString());
      });
      answer.on('end', () => ends(Buffer.concat(parts).toString()));
      answer.on('error', (error) => done({ status, error: reasonOf(error, signal) }));
    };
    try {
      // An import would touch every export of it, and so load all of fetch and WebSocket: two megabytes that nobody uses.
      const { request: httpRequest } = process.getBuiltinModule('node:http');
      const { request: httpsRequest } = process.getBuiltinModule('node:https');
      const url = new URL(probe.url);
      const options = { method: probe.method, signal, agent: false, headers: { 'user-agent': 'openline-agent' } };
      if (url.protocol === 'https:') {
        call = httpsRequest(url, { ...options, rejectUnauthorized: probe.verifyTls }, onAnswer);
      } else if (url.protocol === 'http:') call = httpRequest(url, options, onAnswer);
      else throw new Error(`${url.protocol} is neither http nor https`);
      call.on('error', (error) => done({ error: reasonOf(error, signal) }));
      call.end();
    } catch (error) {
      done({ error: reasonOf(error, signal) });
    }
  });
}

export function probeTcp(host: string, port: number, signal: AbortSignal): Promise<Finding> {
  const startMs = performance.now();
  return new Promise((resolve) => {
    const done = (error: string) => {
      socket.destroy();
      resolve({ ok: error === '', error, duration_ms: sinceMs(startMs) });
    };
    const socket = connect({ host, port, signal });
    socket.once('connect', () => done(''));
    socket.once('error', (error) => done(reasonOf(error, signal)));
  });
}

/** @param servers default: those of the machine */
export async function probeDns(
  { host, type }: Of<'dns'>,
  signal: AbortSignal,
  servers?: readonly string[],
): Promise<Finding & { readonly answers: readonly string[] }> {
  const startMs = performance.now();
  const resolver = new Resolver();
  if (servers !== undefined) resolver.setServers(servers);
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answers = await lookUp(resolver, host, type);
    return {
      ok: answers.length > 0,
      answers,
      error: answers.length > 0 ? '' : 'no answer',
      duration_ms: sinceMs(startMs),
    };
  } catch (error) {
    return { ok: false, answers: [], error: reasonOf(error, signal), duration_ms: sinceMs(startMs) };
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

async function lookUp(resolver: Resolver, host: string, type: Of<'dns'>['type']): Promise<string[]> {
  switch (type) {
    case 'A':
      return resolver.resolve4(host);
    case 'AAAA':
      return resolver.resolve6(host);
    case 'CNAME':
      return resolver.resolveCname(host);
    case 'MX':
      return (await resolver.resolveMx(host)).map(({ priority, exchange }) => `${priority} ${exchange}`);
    case 'TXT':
      return (await resolver.resolveTxt(host)).map((parts) => parts.join(''));
    case 'SRV':
      return (await resolver.resolveSrv(host)).map((one) => `${one.priority} ${one.weight} ${one.port} ${one.name}`);
    default:
      return type satisfies never;
  }
}

export function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'it did not answer in time';
  return error instanceof Error ? error.message || error.name : String(error);
}

function sinceMs(startMs: number): number {
  return Math.round(performance.now() - startMs);
}
