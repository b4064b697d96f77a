import { createHmac } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { selfSigned } from '../../api/testing.ts';
import { parseSubnet } from '../../config/values.ts';
import type { SecretRef } from '../../declared/secrets.ts';
import type { AlertmanagerTarget, HttpTarget, WebhookTarget } from '../channels/channel.ts';
import { sampleMessage } from '../templates/sample.ts';
import { type HttpServer, type Reply, startHttpServer } from '../testing/http-server.ts';
import { createAddressGuard } from './address-guard.ts';
import { createAlertmanagerSender } from './alertmanager.ts';
import { createChatSender, createWebhookSender, type HttpDeps, verdictOf } from './http-sender.ts';
import { type Delivery, type Hand, NotHandedOver, type Sender } from './sender.ts';

const NOW = new Date('2026-11-23T12:00:00.500Z');
const open: HttpServer[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});
async function server(...args: Parameters<typeof startHttpServer>): Promise<HttpServer> {
  const started = await startHttpServer(...args);
  open.push(started);
  return started;
}

const secretUrl: SecretRef = { from: 'env', name: 'OPENLINE_SECRET_URL' };
const allowLoopback = ['127.0.0.0/8', '::1'].flatMap((text) => parseSubnet(text) ?? []);
function deps(over: Partial<HttpDeps> = {}): HttpDeps {
  return {
    guard: createAddressGuard(allowLoopback, []),
    resolveSecret: () => 's3cret',
    clock: { now: () => NOW },
    userAgent: 'openline/test',
    ...over,
  };
}
const http = (url: HttpTarget['url'], over: Partial<HttpTarget> = {}): HttpTarget => ({
  url,
  headers: new Map(),
  ca: undefined,
  followRedirects: false,
  ...over,
});
const webhook = (url: string, over: Partial<WebhookTarget> = {}): WebhookTarget => ({
  kind: 'webhook',
  signWith: undefined,
  ...http(url),
  ...over,
});
const message = sampleMessage('opened', { id: 'id-1', attempt: 2 });
const send = (sender: Sender, hand: Partial<Hand> = {}, what = message): Promise<Delivery> =>
  sender.send(what, { handOver: async () => {}, signal: AbortSignal.timeout(25_000), templates: {}, ...hand });

describe('a webhook', () => {
  it('gets the message as JSON, signed with the time, under an id that stays the same', async () => {
    const target = await server();
    const headers = new Map<string, string | SecretRef>([
      ['Authorization', secretUrl],
      ['X-Team', 'ops'],
    ]);
    const sender = createWebhookSender(webhook(`${target.url}/hook?x=1`, { signWith: secretUrl, headers }), {}, deps());
    expect(await send(sender)).toEqual({ kind: 'delivered', answer: 'HTTP 200: ok' });
    const [asked] = target.asked;
    expect(asked).toMatchObject({
      method: 'POST',
      path: '/hook?x=1',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'openline/test',
        authorization: 's3cret',
        'x-team': 'ops',
        'x-openline-delivery': 'id-1',
        'x-openline-timestamp': '1795435200',
      },
    });
    // As documented for those who verify it.
    const expected = createHmac('sha256', 's3cret').update(`1795435200.${asked?.body}`).digest('hex');
    expect(asked?.headers['x-openline-signature']).toBe(`v1=${expected}`);
    expect(JSON.parse(asked?.body ?? '')).toMatchObject({
      version: 1,
      id: 'id-1',
      kind: 'opened',
      attempt: 2,
      test: false,
      alert: {
        id: '42',
        severity: 'warning',
        agent: 'web-1',
        labels: { role: 'web' },
        watch: 'linux/disk-space',
        closedAt: null,
      },
      change: { kind: 'raised' },
    });
  });

  it('gets what its template says, each value safe within its quotes', async () => {
    const target = await server();
    const body = '{"text": "{{alert.title}}", "n": {{alert.count}}}';
    await send(createWebhookSender(webhook(target.url), { body }, deps()));
    expect(JSON.parse(target.asked[0]?.body ?? '')).toEqual({ text: message.items[0]?.alert.title, n: 2 });
  });

  it('is reached by TLS with the CA that was declared, and not without', async () => {
    const tls = await selfSigned('localhost');
    const target = await server(undefined, { key: tls.keyPem, cert: tls.certificatePem });
    expect(await send(createWebhookSender(webhook(target.url, { ca: tls.certificatePem }), {}, deps()))).toMatchObject({
      kind: 'delivered',
    });
    expect(await send(createWebhookSender(webhook(target.url), {}, deps()))).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/self-signed/),
    });
    expect(target.asked).toHaveLength(1);
  });

  it('may not be at a loopback, link-local or metadata address, by whatever name', async () => {
    const target = await server();
    const strict = deps({ guard: createAddressGuard([], []) });
    for (const host of [
      'localhost',
      '127.0.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '2130706433',
      '0x7f.1',
      '169.254.169.254',
    ]) {
      const outcome = await send(createWebhookSender(webhook(`http://${host}:${target.port}/`), {}, strict));
      expect([host, outcome]).toEqual([host, { kind: 'away', reason: expect.stringMatching(/loopback|link-local/) }]);
    }
    expect(target.asked).toEqual([]);
  });

  it('is not followed elsewhere, unless that was declared; then every address is looked at, and secrets stay where they belong', async () => {
    const second = await server();
    const first = await server(() => ({ status: 307, headers: { location: `${second.url}/there` } }));
    const headers = new Map([['X-Key', 'k']]);
    expect(await send(createWebhookSender(webhook(first.url, { headers }), {}, deps()))).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/307; it redirects to http:\/\/localhost:\d+, which is not followed/),
    });
    const following = webhook(first.url, { headers, followRedirects: true });
    expect(await send(createWebhookSender(following, {}, deps()))).toMatchObject({ kind: 'delivered' });
    expect(second.asked).toMatchObject([
      { method: 'POST', path: '/there', headers: { 'x-openline-delivery': 'id-1' } },
    ]);
    expect(second.asked[0]?.headers['x-key']).toBeUndefined();

    const metadata = await server(() => ({ status: 307, headers: { location: 'http://169.254.169.254/latest' } }));
    expect(await send(createWebhookSender(webhook(metadata.url, { followRedirects: true }), {}, deps()))).toMatchObject(
      {
        kind: 'away',
        reason: expect.stringMatching(/link-local/),
      },
    );
  });

  it('that ends without an answer leaves it open whether it has the message', async () => {
    const rude = await server(() => 'hang up');
    expect(await send(createWebhookSender(webhook(rude.url), {}, deps()))).toMatchObject({ kind: 'uncertain' });
    const silent = await server(() => 'silence');
    const signal = AbortSignal.timeout(200);
    expect(await send(createWebhookSender(webhook(silent.url), {}, deps()), { signal })).toMatchObject({
      kind: 'uncertain',
    });
  });

  it('that cannot be reached has nothing, and nothing is handed over', async () => {
    const gone = await startHttpServer();
    await gone.close();
    let handedOver = 0;
    const hand = { handOver: async () => void handedOver++ };
    expect(await send(createWebhookSender(webhook(gone.url), {}, deps()), hand)).toMatchObject({ kind: 'away' });
    const target = await server();
    await expect(
      send(createWebhookSender(webhook(target.url), {}, deps()), {
        handOver: () => Promise.reject(new NotHandedOver('no')),
      }),
    ).rejects.toThrow(NotHandedOver);
    expect([handedOver, target.asked.length]).toEqual([0, 0]);
  });

  it('whose secret is missing is away, and says what is missing', async () => {
    const target = await server();
    const missing = deps({
      resolveSecret() {
        throw new Error('the server has no environment variable OPENLINE_SECRET_URL');
      },
    });
    expect(await send(createWebhookSender(webhook(target.url, { signWith: secretUrl }), {}, missing))).toEqual({
      kind: 'away',
      reason: 'the server has no environment variable OPENLINE_SECRET_URL',
    });
  });
});

describe('an answer', () => {
  const answer = (status: number, over: Partial<Reply> & { retryAfter?: string } = {}) =>
    verdictOf({ status, retryAfter: over.retryAfter, location: undefined, body: over.body ?? '' });
  it.each([
    [204, 'delivered'],
    [400, 'refused'],
    [413, 'refused'],
    [422, 'refused'],
    [409, 'deferred'],
    [401, 'away'],
    [404, 'away'],
    [429, 'away'],
    [500, 'away'],
    [503, 'away'],
  ])('of %i means that the message is %s', (status, kind) => expect(answer(status).kind).toBe(kind));

  it('says when to come again', () => {
    expect(answer(429, { retryAfter: '30' })).toMatchObject({ retryAfterMs: 30_000 });
    expect(answer(429, { retryAfter: '999999' })).toMatchObject({ retryAfterMs: 3_600_000 });
    expect(answer(503, { retryAfter: 'soon' })).not.toHaveProperty('retryAfterMs');
  });
});

describe('a chat', () => {
  it('like Slack gets text in which nothing that an alert says has a meaning', async () => {
    const target = await server();
    const sender = createChatSender(
      { kind: 'slack', ...http(secretUrl) },
      {},
      deps({ resolveSecret: () => `${target.url}/services/T/B/x\n` }),
    );
    expect(await send(sender)).toMatchObject({ kind: 'delivered' });
    const { text } = JSON.parse(target.asked[0]?.body ?? '');
    expect(target.asked[0]?.path).toBe('/services/T/B/x');
    expect(text).toMatch(/^\[warning\] Disk \/var is almost full: "95 %" &amp; &lt;rising&gt; on web-1\n/);
  });

  it('like Teams gets a card', async () => {
    const target = await server(() => ({ status: 202 }));
    const sender = createChatSender(
      { kind: 'teams', ...http(secretUrl) },
      {},
      deps({ resolveSecret: () => target.url }),
    );
    expect(await send(sender)).toMatchObject({ kind: 'delivered' });
    const card = JSON.parse(target.asked[0]?.body ?? '').attachments[0];
    expect(card.contentType).toBe('application/vnd.microsoft.card.adaptive');
    expect(card.content.body[0].text).toBe('\\[warning\\] Disk /var is almost full: "95 %" & <rising> on web-1');
  });

  it('whose URL is no URL is away, and the URL is not said', async () => {
    const sender = createChatSender(
      { kind: 'slack', ...http(secretUrl) },
      {},
      deps({ resolveSecret: () => 'hunter2' }),
    );
    const outcome = await send(sender);
    expect(outcome).toMatchObject({ kind: 'away', reason: expect.stringMatching(/is no URL/) });
    expect(JSON.stringify(outcome)).not.toContain('hunter2');
  });
});

describe('Alertmanager', () => {
  it('gets an alert as its labels: open until later, and over at its end', async () => {
    const target = await server();
    const spec: AlertmanagerTarget = {
      kind: 'alertmanager',
      ...http(`${target.url}/am/`),
      labels: new Map([['team', 'ops']]),
      resendMs: 60_000,
    };
    const sender = createAlertmanagerSender(spec, deps());
    await send(sender);
    await send(sender, {}, sampleMessage('closed', {}, new Date('2026-11-23T11:59:00Z')));
    expect(target.asked.map(({ path }) => path)).toEqual(['/am/api/v2/alerts', '/am/api/v2/alerts']);
    const [opened, closed] = target.asked.map(({ body }) => JSON.parse(body)[0]);
    expect(opened).toEqual({
      labels: {
        alertname: 'linux/disk-space',
        severity: 'warning',
        agent: 'web-1',
        key: '/var',
        source: 'openline',
        env: 'test',
        role: 'web',
        team: 'ops',
      },
      annotations: {
        summary: message.items[0]?.alert.title,
        description: message.items[0]?.alert.description,
        openline_alert: '42',
      },
      startsAt: '2026-01-02T02:54:05.000Z',
      endsAt: '2026-11-23T12:15:00.500Z',
    });
    expect(closed.labels).toEqual(opened.labels);
    expect(closed.endsAt).toBe('2026-11-23T11:59:00.000Z');
  });
});
