import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { testAuthority } from '../../testing/certificates.ts';
import { scratchDir } from './scratch.ts';

/** For tests: as much of Kubernetes' API as lists and watches events, over TLS. Versions, field selectors and pages are as there. */
export interface FakeApi {
  readonly host: string;
  readonly port: number;
  readonly accountDirectory: string;
  /** Path and query of each request. */
  readonly requests: string[];
  /** Status by path: that many requests are refused with it. */
  readonly refuse: Map<string, number>;
  /** Makes it, or raises its count. */
  event(name: string, fields?: Partial<FakeEvent>): void;
  remove(name: string): void;
  /** Ends all watches. */
  dropWatches(): void;
  /** As a broken network does. */
  breakWatches(): void;
  /** Forgets what changed before: who watches from there gets 410. */
  compact(): void;
  bookmark(): void;
  token(token: string): void;
}

export interface FakeEvent {
  readonly name: string;
  readonly namespace: string;
  readonly kind: string;
  readonly object: string;
  readonly type: string;
  readonly host: string;
  readonly count: number;
  /** A change of it that is no repetition. */
  readonly note: string;
}

interface Stored extends FakeEvent {
  readonly version: number;
}

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly event: Stored;
}

const PAGE_AT_MOST = 3;

export async function startFakeApi(): Promise<FakeApi> {
  const authority = await testAuthority();
  const identity = await authority.serverIdentity();
  const accountDirectory = join(scratchDir(), 'account');
  mkdirSync(accountDirectory);
  writeFileSync(join(accountDirectory, 'ca.crt'), authority.caPem);

  const events = new Map<string, Stored>();
  const changes: Change[] = [];
  const watches = new Set<{ wants: (event: Stored) => boolean; answer: ServerResponse }>();
  const requests: string[] = [];
  const refuse = new Map<string, number>();
  let version = 100;
  let oldest = 0;
  let accepted = '';

  function change(type: Change['type'], event: Stored): void {
    changes.push({ version: event.version, type, event });
    for (const { wants, answer } of watches) if (wants(event)) answer.write(lineOf(type, event));
  }

  function status(answer: ServerResponse, code: number, message: string): void {
    answer.writeHead(code, { 'content-type': 'application/json' });
    answer.end(JSON.stringify({ kind: 'Status', code, message }));
  }

  function list(answer: ServerResponse, query: URLSearchParams, wants: (event: Stored) => boolean): void {
    const all = [...events.values()].filter(wants);
    const from = Number(query.get('continue') ?? 0);
    const to = from + Math.min(PAGE_AT_MOST, Number(query.get('limit')));
    const more = to < all.length ? { continue: String(to) } : {};
    answer.writeHead(200, { 'content-type': 'application/json' });
    answer.end(
      JSON.stringify({
        metadata: { resourceVersion: String(version), ...more },
        items: all.slice(from, to).map(objectOf),
      }),
    );
  }

  function watch(answer: ServerResponse, query: URLSearchParams, wants: (event: Stored) => boolean): void {
    const from = Number(query.get('resourceVersion'));
    answer.writeHead(200, { 'content-type': 'application/json' });
    if (from < oldest) {
      answer.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old' } })}\n`);
      return;
    }
    answer.flushHeaders();
    for (const one of changes) if (one.version > from && wants(one.event)) answer.write(lineOf(one.type, one.event));
    const watching = { wants, answer };
    watches.add(watching);
    answer.on('close', () => watches.delete(watching));
  }

  function answerTo(asked: IncomingMessage, answer: ServerResponse): void {
    const url = new URL(asked.url ?? '', 'https://fake');
    requests.push(decodeURIComponent(`${url.pathname}${url.search}`));
    const namespace = /^\/api\/v1\/namespaces\/([^/]+)\/events$/.exec(url.pathname)?.[1];
    const refused = refuse.get(url.pathname);
    if (asked.headers.authorization !== `Bearer ${accepted}`) status(answer, 401, 'Unauthorized');
    else if (refused !== undefined) status(answer, refused, 'events is forbidden');
    else if (namespace === undefined && url.pathname !== '/api/v1/events') status(answer, 404, 'not found');
    else serve(namespace, url.searchParams, answer);
  }

  function serve(namespace: string | undefined, query: URLSearchParams, answer: ServerResponse): void {
    const terms = (query.get('fieldSelector') ?? '').split(',').map((term) => term.split('='));
    const wants = (event: Stored) =>
      (namespace === undefined || event.namespace === namespace) &&
      terms.every(
        ([field, value]) =>
          ({ 'involvedObject.kind': event.kind, 'involvedObject.name': event.object })[field ?? ''] === value,
      );
    if (query.get('watch') === '1') watch(answer, query, wants);
    else list(answer, query, wants);
  }

  const server = createServer({ key: identity.keyPem, cert: identity.certificatePem }, answerTo);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });

  const api: FakeApi = {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    accountDirectory,
    requests,
    refuse,
    event(name, fields = {}) {
      const before = events.get(name);
      const made = {
        name,
        namespace: 'default',
        kind: 'Node',
        object: 'node-1',
        type: 'Normal',
        host: 'node-1',
        count: 1,
        note: '',
      };
      const count = fields.note !== undefined ? (before?.count ?? 1) : (before?.count ?? 0) + 1;
      const event = { ...made, ...before, count, ...fields, version: ++version };
      events.set(name, event);
      change(before === undefined ? 'ADDED' : 'MODIFIED', event);
    },
    remove(name) {
      const event = events.get(name);
      events.delete(name);
      if (event !== undefined) change('DELETED', { ...event, version: ++version });
    },
    dropWatches() {
      for (const { answer } of watches) answer.end();
      watches.clear();
    },
    breakWatches() {
      for (const { answer } of watches) answer.destroy();
      watches.clear();
    },
    compact() {
      changes.splice(0);
      oldest = version;
    },
    bookmark() {
      const object = { metadata: { resourceVersion: String(version) } };
      for (const { answer } of watches) answer.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    },
    token(token) {
      accepted = token;
      writeFileSync(join(accountDirectory, 'token'), `${token}\n`);
    },
  };
  api.token('first');
  return api;
}

const lineOf = (type: string, event: Stored) => `${JSON.stringify({ type, object: objectOf(event) })}\n`;

function objectOf({ name, namespace, kind, object, type, host, count, version, note }: Stored): object {
  return {
    metadata: { name, namespace, uid: `uid-${name}`, resourceVersion: String(version), annotations: { note } },
    involvedObject: { kind, name: object, namespace: kind === 'Node' ? undefined : namespace },
    reason: name,
    message: `${name} happened`,
    source: { component: 'kubelet', host },
    type,
    count,
    lastTimestamp: new Date(1_700_000_000_000 + version * 1000).toISOString(),
    reportingComponent: '',
  };
}
