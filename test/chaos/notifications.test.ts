import { type Notification, NotificationServiceService, NotificationState } from '@openline/proto/notifications';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killPostgres, seeded } from '../harness/chaos.ts';
import {
  cleanup,
  type EventAgent,
  eventAgent,
  eventually,
  fired,
  type MailServer,
  readIdentity,
  runCli,
  scratchDir,
  startAgent,
  startMailServer,
  startServer,
  type TestServer,
} from '../harness/index.ts';

const { NOTIFICATION_STATE_SENT: SENT, NOTIFICATION_STATE_UNCERTAIN: UNCERTAIN } = NotificationState;
let server: TestServer;
let agent: EventAgent;
/** Told of each mail before it is accepted; what crashes here crashes in the middle of handing over. */
let onMail: (count: number) => Promise<void> | void = () => {};
let smtp: MailServer;
let total = 0;
/** Of mail servers that are gone, and of the one that is there. */
const accepted: string[] = [];

async function startSmtp(port = 0): Promise<MailServer> {
  return startMailServer({
    port,
    async beforeAccept({ subject }) {
      total++;
      await onMail(total);
      accepted.push(subject);
    },
  });
}

beforeAll(async () => {
  const dir = scratchDir('notification-chaos');
  server = await startServer({ dir });
  const lent = await startAgent({ dir, server, name: 'web-1' });
  await lent.stop();
  agent = eventAgent(await readIdentity(lent.dataDir));
  await agent.connect(server.agentPort);
  smtp = await startSmtp();
  const declared = `apiVersion: openline.dev/v1
kind: Channel
metadata: {name: mail}
spec: {smtp: {host: 127.0.0.1, port: ${smtp.port}, tls: none, from: alerts@example.com}}
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: all}
spec: {send: [{channel: mail, to: [ops@example.com]}]}
`;
  const { code, stderr } = await runCli(server, ['apply', '-f', '-'], { stdin: declared });
  expect([code, stderr]).toEqual([0, '']);
});
afterAll(async () => {
  agent?.disconnect();
  await smtp?.close();
  await cleanup();
});

let made = 0;
/** So many alerts, each with a title of its own. @returns the number of the last record */
function alerts(count: number): number {
  return agent.say(...Array.from({ length: count }, () => fired('it happened', { rule: `r${++made}` })));
}

async function restart(): Promise<void> {
  agent.disconnect();
  server = await server.restart();
  await agent.connect(server.agentPort);
}

async function notifications(): Promise<Notification[]> {
  const request = { states: [], channel: '', subscription: '', alertId: '', limit: 1_000, pageToken: '' };
  return (await server.operator.unary(NotificationServiceService.listNotifications, request)).notifications;
}

/**
 * Waits until nothing is under way, then counts at the mail server: one mail for each alert that the server says it sent, at most one
 * for each of which it says that nobody knows, and of everything one of the two.
 * @param first the first alert that is looked at
 * @returns of how many nobody knows
 */
async function check(first: number): Promise<number> {
  await agent.until(made);
  const all = await eventually(
    async () => {
      const found = await notifications().catch(() => []);
      return found.length === made && found.every(({ endedUnixMs }) => endedUnixMs > 0n) && found;
    },
    { what: `an end of every notification of ${made} alerts`, timeoutMs: 120_000 },
  );
  const mine = all.filter(({ title }) => Number(/ r(\d+) /.exec(title)?.[1]) >= first);
  expect(mine).toHaveLength(made - first + 1);
  const mailsOf = (title: string) => accepted.filter((subject) => subject === `[warning] ${title}`).length;
  const wrong = mine.filter(({ title, state }) => {
    const mails = mailsOf(title);
    return state === SENT ? mails !== 1 : state === UNCERTAIN ? mails > 1 : true;
  });
  expect(wrong.map(({ title, state, reason }) => ({ title, state, reason, mails: mailsOf(title) }))).toEqual([]);
  return mine.filter(({ state }) => state === UNCERTAIN).length;
}

/** Messages under way at a time: the channel's concurrency. */
const UNDER_WAY = 4;
/** Each restart of a server takes seconds. */
const LONG = { timeout: 280_000 };

describe('kill -9 of the server between alert and mail', () => {
  it('again and again, at moments of all kinds, loses no mail and sends none twice', LONG, async () => {
    const random = seeded(7);
    for (let round = 0; round < 3; round++) {
      const until = total + 1 + Math.floor(random() * 12);
      // At a mail that is just being handed over: it has had everything but the answer.
      const crashed = new Promise<void>((resolve) => {
        onMail = async (count) => {
          if (count !== until) return;
          await server.kill9();
          resolve();
        };
      });
      alerts(20);
      await crashed;
      onMail = () => {};
      await restart();
    }
    for (let round = 0; round < 2; round++) {
      // Nothing is awaited but the acknowledgement: the alerts are committed, and the mails with them.
      await agent.until(alerts(20));
      await server.kill9();
      await restart();
    }
    const uncertain = await check(1);
    expect(uncertain).toBeGreaterThan(0);
    expect(uncertain).toBeLessThanOrEqual(5 * UNDER_WAY);
  });

  it('leaves what nobody can know to a person, who sees it and sends it again', async () => {
    const { stdout } = await runCli(server, ['notifications', 'list', '--state', 'uncertain', '-o', 'json']);
    const uncertain: { id: string; reason: string }[] = JSON.parse(stdout.toString());
    expect(uncertain.length).toBeGreaterThan(0);
    expect(new Set(uncertain.map(({ reason }) => reason))).toEqual(
      new Set(['the server ended after the message was handed over and before an answer was recorded']),
    );
    await eventually(
      async () => (await server.http('/metrics')).body.includes(`\nopenline_notifications_dead ${uncertain.length}\n`),
      { what: 'the gauge', timeoutMs: 30_000 },
    );
    const before = accepted.length;
    expect((await runCli(server, ['notifications', 'retry', '--all'])).code).toBe(0);
    await eventually(() => accepted.length === before + uncertain.length, { what: 'what was sent again' });
    await eventually(async () => (await notifications()).every(({ state }) => state === SENT), { what: 'its end' });
  });
});

describe('a mail server that crashes', () => {
  it('again and again gets every mail in the end, none twice', LONG, async () => {
    const first = made + 1;
    for (let round = 0; round < 4; round++) {
      alerts(15);
      await smtp.received(smtp.mails.length + 2);
      await smtp.close();
      await agent.until(alerts(5));
      smtp = await startSmtp(smtp.port);
    }
    expect(await check(first)).toBeLessThanOrEqual(4 * UNDER_WAY);
  });
});

describe('kill -9 of PostgreSQL', () => {
  it('between alert and mail loses no mail and sends none twice', LONG, async () => {
    const first = made + 1;
    for (let round = 0; round < 3; round++) {
      const wanted = smtp.mails.length + 2;
      alerts(20);
      await smtp.received(wanted);
      await killPostgres(server);
      const ready = async () => (await server.http('/readyz')).status === 200;
      await eventually(ready, { what: 'the database to be back', timeoutMs: 60_000 });
    }
    // The server lives, and knows what it was answered.
    expect(await check(first)).toBe(0);
  });
});
