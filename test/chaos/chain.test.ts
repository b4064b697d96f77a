import { join } from 'node:path';
import { type Alert, AlertServiceService } from '@openline/proto/alerts';
import { type Notification, NotificationServiceService, NotificationState } from '@openline/proto/notifications';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createEventLog } from '../../agent/src/events/agent-log/writer.ts';
import { killPostgres, seeded } from '../harness/chaos.ts';
import {
  cleanup,
  eventually,
  type MailServer,
  packsHeld,
  pushPacks,
  type ReceivedMail,
  runCli,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startMailServer,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';

/**
 * The whole chain, with real processes: events in an agent's log, rules, alerts, mails; and kill -9 of whatever is in between. Each round
 * kills each of the four once, in an order of the dice. Longer: OPENLINE_CHAIN_ROUNDS=20. The same dice again: OPENLINE_CHAOS_SEED.
 */
const ROUNDS = Number(process.env['OPENLINE_CHAIN_ROUNDS'] ?? 1);
const SEED = Number(process.env['OPENLINE_CHAOS_SEED'] ?? Date.now() % 1_000_000);
const CRASHES = ['agent', 'server', 'postgres', 'smtp'] as const;
type Crash = (typeof CRASHES)[number];
/** The channel's: so many mails may be under way when something dies. */
const CONCURRENCY = 4;

/**
 * Its events are told apart by their message; those of `utility` are, too, but it raises one alert for each level and second. A rule for each
 * round: of one rule, no more than 500 alerts are open apart.
 */
const PACK = `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: chain, version: 1.0.0, title: Chain, description: For a test. }
rules:
${Array.from(
  { length: ROUNDS },
  (_, round) => `  each-${round}:
    title: Each
    description: Every event is an alert of its own.
    on: { log: agent, id: chain-${round} }
    alert: { severity: warning, title: 'saw \${event.message}', key: event.message }
`,
).join('')}`;
const DECLARED = (port: number) => `apiVersion: openline.dev/v1
kind: Channel
metadata: {name: mail}
spec:
  smtp: {host: 127.0.0.1, port: ${port}, tls: none, from: alerts@example.com}
  concurrency: ${CONCURRENCY}
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: chain}
spec: {criteria: {watches: [chain/*, utility/*]}, send: [{channel: mail, to: [ops@example.com]}]}
`;

const { NOTIFICATION_STATE_SENT: SENT, NOTIFICATION_STATE_UNCERTAIN: UNCERTAIN } = NotificationState;
let server: TestServer;
let agent: TestAgent;
let smtp: MailServer;
/** What mail servers took, those that are gone included: whether their 250 was read or not. */
const taken: ReceivedMail[] = [];
/** At the dot of a mail: it has been given whole, and is not answered yet. */
let atTheDot: () => Promise<void> | void = () => {};

const startSmtp = (port = 0) =>
  startMailServer({
    port,
    async beforeAccept(mail) {
      await atTheDot();
      taken.push(mail);
    },
  });

beforeAll(async () => {
  const dir = scratchDir('chain');
  server = await startServer({ dir, flags: ['--heartbeat-interval=500ms', '--offline-after=5s'] });
  await pushPacks(server, [join(ROOT, 'packs', 'shipped', 'utility.yaml')]);
  const content = Buffer.from(PACK);
  await server.operator.pushPack(content, await signWithSiteKey(server, content), 'chain.yaml');
  agent = await startAgent({ dir, server, name: 'node-1' });
  await packsHeld(server);
  smtp = await startSmtp();
  expect(await runCli(server, ['apply', '-f', '-'], { stdin: DECLARED(smtp.port) })).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await smtp?.close();
  await cleanup();
});

let made = 0;
let byTask = 0;
let round = 0;
/** `error` is the task's. */
const LEVELS = ['info', 'warning'] as const;
/** `utility` raises one alert for each level and second: the last second that was used. */
const lastSecond = new Map<string, number>();
const secondOf = (unixMs: number) => Math.floor(unixMs / 1000);

/** As any program on the machine does, whether the agent lives or not: on disk when it resolves. One of them is for `utility`. */
async function write(count: number): Promise<void> {
  const level = LEVELS.find((each) => (lastSecond.get(each) ?? 0) < secondOf(Date.now()));
  const events = Array.from({ length: count }, (_, i) => ({
    source: 'test',
    id: i === 0 && level !== undefined ? 'test-event' : `chain-${round}`,
    level: level ?? 'info',
    message: `n=${++made}.`,
    data: {},
  }));
  const [first] = await createEventLog({ directory: join(agent.dataDir, 'events') }).append(events);
  if (level !== undefined && first !== undefined) lastSecond.set(level, secondOf(Date.parse(first.at)));
}

const untilTaken = (count: number) =>
  eventually(() => taken.length >= count, { what: `mail ${count}`, timeoutMs: 60_000 });

async function ready(): Promise<void> {
  const isReady = async () => (await server.http('/readyz')).status === 200;
  await eventually(isReady, { what: 'the database to be back', timeoutMs: 60_000 });
}

/** When something dies, counted in mails from now: 0 is before the first, with the events just written. */
const PER_CRASH = 24;

async function crash(what: Crash, random: () => number): Promise<void> {
  const before = taken.length;
  const moment = Math.floor(random() * PER_CRASH * 0.7);
  switch (what) {
    case 'agent':
      await write(PER_CRASH);
      if (moment > 4) await untilTaken(before + moment - 4);
      await agent.kill9();
      await write(3);
      agent = await agent.restart({ server, awaitOnline: false });
      return;
    case 'server': {
      // At the dot is the worst moment: what is under way then is taken, and nobody hears of it.
      let left = moment + 1;
      let died: Promise<void> | undefined;
      atTheDot = async () => {
        left--;
        if (left === 0) died = server.kill9();
        await died;
      };
      await write(PER_CRASH);
      await eventually(() => died !== undefined, {
        what: `mail ${moment + 1}, at which the server dies`,
        timeoutMs: 60_000,
      });
      await died;
      atTheDot = () => {};
      server = await server.restart();
      return;
    }
    case 'postgres':
      await write(PER_CRASH);
      await untilTaken(before + moment);
      await killPostgres(server);
      await write(3);
      return ready();
    case 'smtp': {
      await write(PER_CRASH);
      await untilTaken(before + moment);
      const { port } = smtp;
      await smtp.close();
      await write(3);
      // While it is away, somebody else dies, too.
      if (random() < 0.5) await crashQuietly();
      smtp = await startSmtp(port);
      return;
    }
    default:
      return what satisfies never;
  }
}

async function crashQuietly(): Promise<void> {
  await agent.kill9();
  agent = await agent.restart({ server, awaitOnline: false });
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map((each) => ({ each, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ each }) => each);
}

async function alerts(): Promise<Alert[]> {
  const all: Alert[] = [];
  for (let pageToken = ''; ; ) {
    const page = await server.operator.unary(AlertServiceService.listAlerts, {
      filter: undefined,
      limit: 1_000,
      pageToken,
    });
    all.push(...page.alerts.filter(({ watch }) => /^(chain|utility)\//.test(watch)));
    pageToken = page.nextPageToken;
    if (pageToken === '') return all;
  }
}

async function notifications(): Promise<Notification[]> {
  const all: Notification[] = [];
  for (let pageToken = ''; ; ) {
    const request = { states: [], channel: '', subscription: 'chain', alertId: '', limit: 1_000, pageToken };
    const page = await server.operator.unary(NotificationServiceService.listNotifications, request);
    all.push(...page.notifications);
    pageToken = page.nextPageToken;
    if (pageToken === '') return all;
  }
}

const eventOf = ({ title }: { title: string }) => /(?:n|task)=\d+\./.exec(title)?.[0] ?? title;
/** What the mail says of itself: which notification, of which alert. */
const markOf = ({ messageId, text }: ReceivedMail) => `${messageId} ${/^Alert (\d+):/m.exec(text)?.[1]}`;
const markFor = ({ id, alertId }: Notification) => `<${id}@example.com> ${alertId}`;

it(
  `every event is one alert and every alert one mail, whoever is killed in between (seed ${SEED})`,
  async () => {
    const random = seeded(SEED);
    const deaths: Crash[] = [];
    for (; round < ROUNDS; round++) {
      await server.operator.online(1, 60_000);
      await ready();
      await server.operator.run(
        'utility/create-test-event',
        { parameters: { level: 'error', message: `task=${++byTask}.` } },
        60_000,
      );
      for (const what of shuffled(CRASHES, random)) {
        await crash(what, random);
        deaths.push(what);
      }
    }

    // Everything heals. Then they are counted: first by event, then by alert, at last at the mail server.
    const events = made + byTask;
    const settled = async () => {
      const all = await notifications();
      return all.length === events && all.every(({ endedUnixMs }) => endedUnixMs > 0n) && all;
    };
    const all = await eventually(settled, { what: `the ends of ${events} notifications`, timeoutMs: 90_000 });
    const raised = await alerts();
    const ofEvents = raised.map(({ count, ...alert }) => `${count} × ${eventOf(alert)}`).sort();
    const names = [...range(made, 'n'), ...range(byTask, 'task')];
    expect(ofEvents).toEqual(names.map((name) => `1 × ${name}`).sort());
    expect(all.map(({ alertId }) => alertId).sort()).toEqual(raised.map(({ id }) => id).sort());

    const mails = new Map<string, number>();
    for (const mark of taken.map(markOf)) mails.set(mark, (mails.get(mark) ?? 0) + 1);
    const countOf = (each: Notification) => mails.get(markFor(each)) ?? 0;
    expect(all.filter((each) => each.state === SENT && countOf(each) !== 1)).toEqual([]);
    // SMTP's own gap: who dies between the dot and its answer cannot know. Such mails are kept back, and seen; none was sent twice.
    const uncertain = all.filter(({ state }) => state === UNCERTAIN);
    expect(all.filter(({ state }) => state !== SENT && state !== UNCERTAIN)).toEqual([]);
    const arrived = uncertain.filter((each) => countOf(each) === 1);
    const missing = uncertain.filter((each) => countOf(each) === 0);
    expect(arrived.length + missing.length).toBe(uncertain.length);
    expect(taken).toHaveLength(all.length - missing.length);
    // One server dies at a dot in each round, so there are some; and no more than were under way when a server or a mail server died.
    expect(arrived.length).toBeGreaterThan(0);
    const mayNotKnow = deaths.filter((what) => what === 'server' || what === 'smtp').length;
    expect(uncertain.length).toBeLessThanOrEqual(mayNotKnow * CONCURRENCY);
    expect(new Set(uncertain.map(({ reason }) => reason.split(/: | after the message/)[0]))).toEqual(
      new Set(
        uncertain.map(({ reason }) => (reason.startsWith('the server ended') ? 'the server ended' : 'no answer')),
      ),
    );
    console.log(
      `chain, seed ${SEED}: ${deaths.length} deaths, ${events} events, ${raised.length} alerts, ${taken.length} mails; ` +
        `${uncertain.length} uncertain, of which ${arrived.length} had arrived and ${missing.length} had not`,
    );

    // A person decides, and then none is missing: those that had arrived are there twice, with one Message-ID.
    expect(await runCli(server, ['notifications', 'retry', '--all'])).toMatchObject({ code: 0 });
    await untilTaken(all.length + arrived.length);
    await eventually(async () => (await notifications()).every(({ state }) => state === SENT), { what: 'their end' });
    expect(new Set(taken.map(markOf))).toEqual(new Set(all.map(markFor)));
    expect(taken).toHaveLength(all.length + arrived.length);
  },
  ROUNDS * 60_000 + 120_000,
);

function range(count: number, name: string): string[] {
  return Array.from({ length: count }, (_, i) => `${name}=${i + 1}.`);
}
