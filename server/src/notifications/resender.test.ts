import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AT, enrol, raiseOf, testDesk } from '../alerts/testing.ts';
import { parseSubnet } from '../config/values.ts';
import { createQuery } from '../db/query.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createResender, type Resender } from './resender.ts';
import { createAddressGuard } from './senders/address-guard.ts';
import { type HttpServer, startHttpServer } from './testing/http-server.ts';
import { channelSpec } from './testing/outbox.ts';

const db = withTestDatabase();
let alertmanager: HttpServer;
let status = 200;
let resender: Resender | undefined;
const warned: unknown[] = [];
let nowMs = 0;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  status = 200;
  warned.length = 0;
  alertmanager = await startHttpServer(() => ({ status }));
  const target = {
    kind: 'alertmanager' as const,
    url: alertmanager.url,
    headers: new Map<string, string>(),
    ca: undefined,
    followRedirects: false,
    labels: new Map([['team', 'infra']]),
    resendMs: 60_000,
  };
  const channel = { name: 'am', spec: channelSpec({ target }), updatedBy: 'alice', updatedAt: AT };
  resender = createResender({
    query: createQuery(db.pool),
    channels: { list: () => [channel] },
    clock: { now: () => AT, nowMs: () => nowMs, sleep: async () => {} },
    http: {
      guard: createAddressGuard(
        ['127.0.0.0/8'].flatMap((text) => parseSubnet(text) ?? []),
        [],
      ),
      resolveSecret: () => '',
      clock: { now: () => AT },
      userAgent: 'openline/test',
    },
    log: { warn: (fields: unknown) => void warned.push(fields) },
  });
  resender.start();
});
afterEach(async () => {
  resender?.stop();
  vi.useRealTimers();
  await alertmanager.close();
});

/** Alerts that the channel was told of, or not. */
async function raise(key: string, told: boolean): Promise<string> {
  const { desk } = testDesk(db.pool);
  const raised = raiseOf('agent-1', { subject: { kind: 'rule', agentId: 'agent-1', watch: 'p/r', key } });
  const id = (await desk.apply([raised])).alerts[0]?.id ?? '';
  if (told) {
    await db.pool.query(
      `insert into notification_threads (alert_id, subscription, step, channel, channel_kind, recipients, root_id, change_id)
       values ($1, 'all', 0, 'am', 'alertmanager', '{}', 'groomed', 1)`,
      [id],
    );
  }
  return id;
}

/** So much later it has looked. */
async function pass(ms: number): Promise<void> {
  nowMs += ms;
  await vi.advanceTimersByTimeAsync(5_000);
}
const keysIn = (body: string) => (JSON.parse(body) as { labels: { key: string } }[]).map(({ labels }) => labels.key);

describe('Alertmanager, which forgets', () => {
  it('is told again and again of the open alerts that it was told of, and of no others', async () => {
    await enrol(db.pool, 'agent-1');
    await raise('a', true);
    await raise('b', true);
    await raise('untold', false);
    await db.pool.query("update alerts set closed_at = now(), state = 2 where key = 'b'");
    await pass(0);
    await pass(59_000);
    expect(alertmanager.asked).toEqual([]);
    await pass(1_000);
    await vi.waitFor(() => expect(alertmanager.asked).toHaveLength(1));
    expect(alertmanager.asked[0]?.path).toBe('/api/v2/alerts');
    expect(keysIn(alertmanager.asked[0]?.body ?? '')).toEqual(['a']);
    await vi.waitFor(async () => {
      await pass(60_000);
      expect(alertmanager.asked.length).toBeGreaterThan(1);
    });
  });

  it('and does not answer is told the next time, and that is logged', async () => {
    await enrol(db.pool, 'agent-1');
    await raise('a', true);
    status = 500;
    await pass(0);
    await pass(60_000);
    await vi.waitFor(() => expect(warned).toMatchObject([{ channel: 'am', reason: 'HTTP 500' }]));
  });
});
