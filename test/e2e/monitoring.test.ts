import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Alert, AlertServiceService, AlertState } from '@openline/proto/alerts';
import { DeclaredServiceService } from '@openline/proto/declared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEventLog } from '../../agent/src/events/agent-log/writer.ts';
import { isAlive, seeded } from '../harness/chaos.ts';
import {
  cleanup,
  eventually,
  packsHeld,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

let dir: string;
let server: TestServer;
let agent: TestAgent;

/** What the monitors look at. */
const file = (name: string) => join(dir, name);

const pack = () => `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: watch, version: 1.0.0, title: Watch, description: For a test. }
tasks:
  raise:
    title: Raise
    description: Raises an event.
    timeout: 10s
    parameters:
      message: { type: string, title: Message, description: What it says. }
    run: { builtin: event }
  hello:
    title: Hello
    description: Says hello.
    timeout: 10s
    run: { command: [echo, hello] }
rules:
  each:
    title: Each
    description: Every event is an alert of its own.
    on: { log: agent, pattern: '^n=' }
    alert: { severity: warning, title: 'saw \${event.message}', key: event.message }
  line:
    title: Line
    description: Every line of a file is an alert of its own.
    on: { log: 'file:*', pattern: '^n=' }
    alert: { severity: warning, title: 'read \${event.message}', key: event.message }
  flood:
    title: Flood
    description: However many there are, it is one alert.
    on: { log: agent, pattern: '^flood' }
    alert: { severity: warning, title: 'a flood' }
  often:
    title: Often
    description: Three of them.
    on: { log: agent, pattern: '^often' }
    threshold: { count: 3, within: 1h }
    alert: { severity: warning, title: 'often' }
monitors:
  level:
    title: Level
    description: A number in a file.
    settings: { most: 90 }
    probe:
      run: { command: [cat, ${file('level.json')}] }
      every: 1s
      critical: sample.used > settings.most
    alert: { from: critical, title: '\${sample.used} is too much' }
  hangs:
    title: Hangs
    description: Never ends by itself.
    probe:
      run:
        script: { interpreter: sh, source: 'echo $$ > ${file('hangs.pid')}; sleep 300' }
      every: 4s
      timeout: 2s
      critical: 'false'
`;

beforeAll(async () => {
  dir = scratchDir('monitoring');
  writeFileSync(file('level.json'), '{"used": 50}');
  server = await startServer({ dir, flags: ['--heartbeat-interval=500ms', '--offline-after=10s'] });
  const content = Buffer.from(pack());
  await server.operator.pushPack(content, await signWithSiteKey(server, content), 'watch.yaml');
  writeFileSync(file('app.log'), '');
  agent = await startAgent({ dir, server, name: 'node-1', flags: [`--events-files=${file('app.log')}`] });
  await packsHeld(server);
});
afterAll(cleanup);

/** Of a watch, open or not, oldest first. */
async function alertsOf(watch: string): Promise<Alert[]> {
  const states = [AlertState.ALERT_STATE_NEW, AlertState.ALERT_STATE_ACKNOWLEDGED, AlertState.ALERT_STATE_CLOSED];
  const filter = { states, severities: [], targets: '', watch, text: '', owner: '' };
  const all: Alert[] = [];
  for (let pageToken = ''; ; ) {
    const page = await server.operator.unary(AlertServiceService.listAlerts, { filter, limit: 1_000, pageToken });
    all.unshift(...page.alerts.toReversed());
    pageToken = page.nextPageToken;
    if (pageToken === '') return all;
  }
}

/** Waits for an alert that is like this. */
const alertLike = (watch: string, like: (alert: Alert) => boolean, what: string) =>
  eventually(async () => (await alertsOf(watch)).find(like), { what, timeoutMs: 20_000 });

/** As any program on the machine does. */
const write = (...messages: string[]) =>
  createEventLog({ directory: join(agent.dataDir, 'events') }).append(
    messages.map((message) => ({ source: 'test', id: '', level: 'info', message, data: {} })),
  );

const isOpen = ({ state }: Alert) => state === AlertState.ALERT_STATE_NEW;

describe('an event that a task raises', () => {
  it('is an alert a moment later, once', async () => {
    await server.operator.run('watch/raise', { parameters: { message: 'n=task' } });
    const alert = await alertLike('watch/each', ({ key }) => key === 'n=task', 'the alert');
    expect(alert).toMatchObject({ agentName: 'node-1', title: 'saw n=task', count: 1n });
  });
});

describe('many events', () => {
  it('of one kind are one alert, counted to the event', async () => {
    await write(...Array.from({ length: 5_000 }, (_, i) => `flood ${i}`));
    const alert = await alertLike('watch/flood', ({ count }) => count >= 5_000n, 'all of the flood');
    expect(alert.count).toBe(5_000n);
    expect(await alertsOf('watch/flood')).toHaveLength(1);
  });
});

describe('an agent that is killed with -9 at any moment', () => {
  it('tells of each event once, whoever wrote it where: none twice, none skipped', async () => {
    const random = seeded(4);
    const written: string[] = [];

    /** Goes on, whatever becomes of the agent meanwhile: events in its log, and lines in a file that is rotated now and then. */
    async function burst(round: number): Promise<void> {
      for (let i = 0; i < 20; i += 1) {
        const [event, line] = [`n=${round}.${i}`, `n=${round}.${i}.line`];
        written.push(event, line);
        if (random() < 0.1) renameSync(file('app.log'), file(`app.log.${round}.${i}`));
        appendFileSync(file('app.log'), `${line}\n`);
        await write(event);
      }
    }

    const counted = async () =>
      [...(await alertsOf('watch/each')), ...(await alertsOf('watch/line'))].filter(({ key }) => /^n=\d/.test(key));
    for (let round = 0; round < 8; round += 1) {
      const [before, wanted] = [written.length, Math.floor(random() * 20)];
      const writing = burst(round);
      // In the midst of the burst, or behind it.
      await eventually(() => written.length >= before + wanted * 2, { what: 'part of the burst', intervalMs: 1 });
      await agent.kill9();
      await writing;
      agent = await agent.restart({ awaitOnline: false });
      // Killed again sometimes at its start, sometimes in the midst of catching up.
      const seen = (await counted()).length;
      const more = Math.min(Math.floor(random() * 30), written.length - seen);
      await eventually(async () => (await counted()).length >= seen + more, {
        what: 'some of them',
        timeoutMs: 30_000,
      });
    }
    await eventually(async () => (await counted()).length >= written.length, {
      what: 'all of them',
      timeoutMs: 30_000,
    });
    const alerts = await counted();
    expect(alerts.map(({ key }) => key).sort()).toEqual([...written].sort());
    expect(alerts.filter(({ count }) => count !== 1n)).toEqual([]);
  }, 120_000);

  it('still counts towards a threshold what came before', async () => {
    // Read in this order: with the alert of the last one, the first two are counted, and on disk.
    await write('often 1', 'often 2', 'n=often');
    await alertLike('watch/each', ({ key }) => key === 'n=often', 'the first two to be read');
    await agent.kill9();
    agent = await agent.restart();
    await write('often 3');
    await alertLike('watch/often', isOpen, 'the third one to count');
    expect(await alertsOf('watch/often')).toHaveLength(1);
  });
});

describe('a monitor', () => {
  it('raises an alert when its probe says so, and closes it when it is better', async () => {
    writeFileSync(file('level.json'), '{"used": 95}');
    const alert = await alertLike('watch/level', isOpen, 'the alert');
    expect(alert).toMatchObject({ title: '95 is too much', kind: 'monitor' });
    writeFileSync(file('level.json'), '{"used": 60}');
    await alertLike(
      'watch/level',
      ({ id, state }) => id === alert.id && state === AlertState.ALERT_STATE_CLOSED,
      'its end',
    );
  });

  it('obeys an override at once, and the pack again when that goes', async () => {
    const content = Buffer.from(`apiVersion: openline.dev/v1
kind: Override
metadata: { name: lower }
spec: { watch: watch/level, settings: { most: 55 } }
`);
    const files = [{ name: 'lower.yaml', content }];
    await server.operator.unary(DeclaredServiceService.applyDeclared, { files, dryRun: false });
    const alert = await alertLike('watch/level', isOpen, 'the alert at 60');
    expect(alert.title).toBe('60 is too much');
    await server.operator.unary(DeclaredServiceService.deleteDeclared, { kind: 'Override', name: 'lower' });
    await alertLike(
      'watch/level',
      ({ id, state }) => id === alert.id && state === AlertState.ALERT_STATE_CLOSED,
      'its end',
    );
  });

  it('whose probe hangs is ended in time, and delays neither tasks nor other monitors', async () => {
    const hanging = () => existsSync(file('hangs.pid')) && Number(readFileSync(file('hangs.pid'), 'utf8'));
    const pid = await eventually(
      async () => {
        const before = hanging();
        if (before === false || !isAlive(before)) return false;
        await server.operator.run('watch/hello');
        return isAlive(before) && before;
      },
      { what: 'a task that ends while a probe hangs' },
    );
    await eventually(() => !isAlive(pid), { what: 'the end of the probe' });
    writeFileSync(file('level.json'), '{"used": 99}');
    await alertLike('watch/level', isOpen, 'the other monitor');
  });

  it('leaves no process behind when the agent is killed with -9', async () => {
    const before = readFileSync(file('hangs.pid'), 'utf8');
    const pid = await eventually(
      () => {
        const now = readFileSync(file('hangs.pid'), 'utf8');
        return now !== before && now !== '' && Number(now);
      },
      { what: 'the probe to hang again' },
    );
    await agent.kill9();
    expect(isAlive(pid)).toBe(true);
    agent = await agent.restart();
    await eventually(() => !isAlive(pid), { what: 'the end of what the dead agent left' });
  });
});
