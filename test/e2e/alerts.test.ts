import { AlertServiceService, EventServiceService } from '@openline/proto/alerts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { killPostgres } from '../harness/chaos.ts';
import {
  type AgentIdentity,
  became,
  cleanup,
  type EventAgent,
  eventAgent,
  eventually,
  fired,
  pushPacks,
  readIdentity,
  runCli,
  scratchDir,
  startAgent,
  startCli,
  startServer,
  type TestServer,
} from '../harness/index.ts';

let server: TestServer;
const identities: AgentIdentity[] = [];

beforeAll(async () => {
  const dir = scratchDir('alerts');
  server = await startServer({ dir });
  await pushPacks(server);
  for (const name of ['web-1', 'web-2']) {
    const lent = await startAgent({ dir, server, name, labels: { role: 'web' } });
    await lent.stop();
    identities.push(await readIdentity(lent.dataDir));
  }
});
afterAll(cleanup);

const open: EventAgent[] = [];
afterEach(async () => {
  for (const agent of open.splice(0)) agent.disconnect();
  const { alerts } = await server.operator.unary(AlertServiceService.listAlerts, everyOpen);
  const ids = alerts.map(({ id }) => id);
  if (ids.length > 0) await server.operator.unary(AlertServiceService.closeAlerts, { ids, comment: '' });
});

const everyOpen = { filter: undefined, limit: 1000, pageToken: '' };

async function agent(which = 0): Promise<EventAgent> {
  const identity = identities[which];
  if (identity === undefined) throw new Error('no such agent');
  const made = eventAgent(identity);
  open.push(made);
  await made.connect(server.agentPort);
  return made;
}

const acked = (from: EventAgent, seq: number) =>
  eventually(() => from.acked() >= seq, { what: `record ${seq} to be acknowledged`, timeoutMs: 60_000 });
const openAlerts = async () => (await server.operator.unary(AlertServiceService.listAlerts, everyOpen)).alerts;
const cli = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(server, args);
  return { code, out: stdout.toString(), err: stderr };
};
async function metric(name: string): Promise<number> {
  const { body } = await server.http('/metrics');
  const lines = body.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describe('what an agent observed', () => {
  it('is an alert that people list, show, take, comment and close', async () => {
    const web = await agent();
    await acked(web, web.say(fired('one'), fired('two')));
    const listed = await cli('alerts');
    expect(listed.out.split('\n')[0]).toMatch(/^ID +SEVERITY +STATE +AGENT +ALERT +BY +COUNT +LAST$/);
    expect(listed.out).toMatch(/^\d+ +warning +new +web-1 +it happened: rule +test\/rule +2 +/m);
    const [{ id } = { id: '' }] = JSON.parse((await cli('alerts', '-o', 'json')).out);

    expect((await cli('alerts', 'ack', id, '-m', 'on it')).out).toBe(
      `alert ${id} is acknowledged: web-1: it happened: rule\n`,
    );
    await cli('alerts', 'assign', id, '--to', 'bob');
    await cli('alerts', 'comment', id, '-m', 'a disk was swapped');
    expect((await cli('alerts', 'close', id, id)).code).toBe(0);
    expect((await cli('alerts', 'ack', id)).err).toBe(`alert ${id}: it is closed\n`);
    const shown = (await cli('alerts', 'show', id)).out;
    expect(shown).toContain('happened:     2 times');
    expect(shown).toMatch(
      /acknowledged +admin +on it\n.*given to bob +admin.*\n.*commented +admin +a disk was swapped\n.*closed +admin/,
    );
    expect(shown).toMatch(/error +agent +test 1 +two\n.*error +agent +test 1 +one/);
    expect((await cli('alerts')).err).toBe('no alert is open\n');
    expect(await cli('alerts', 'close', '99999')).toMatchObject({
      code: 2,
      err: expect.stringContaining('ALERT_UNKNOWN'),
    });
    const audit = JSON.parse((await cli('audit', '-o', 'json')).out) as { action: string; object: string }[];
    expect(audit.filter(({ object }) => object === id).map(({ action }) => action)).toEqual([
      'alert.close',
      'alert.comment',
      'alert.assign',
      'alert.acknowledge',
    ]);
  });

  it('is listed with the events that rules took, and what was lost', async () => {
    const web = await agent();
    const gap = { log: 'kernel', reason: 'flood', events: 1234n, fromUnixMs: 0n, toUnixMs: 0n };
    const before = await metric('openline_event_gap_events_total');
    await acked(web, web.say(fired('a needle'), { $case: 'gap', value: gap }));
    const { out } = await cli('events', '--on', 'role=web', '--since', '1h');
    expect(out).toMatch(/web-1 +error +agent +test 1 +a needle +test\/rule/);
    expect(out).toMatch(/web-1 +warning +kernel +openline gap +1234 events are missing: flood/);
    expect((await cli('events', '--text', 'NEEDLE', '-o', 'jsonl')).out.split('\n')).toHaveLength(2);
    expect(await metric('openline_event_gap_events_total')).toBe(before + 1234);
  });

  it('is told to those who watch: alerts as they change, events as they come', async () => {
    const watching = startCli(server, ['alerts', '--watch', '-o', 'jsonl']);
    const following = startCli(server, ['events', '--follow', '-n', '1']);
    const web = await agent();
    await eventually(() => following.lines.length > 0, { what: 'the newest event' });
    // Whether it was there before the watch or came after: once it is told, the watch is there.
    await acked(web, web.say(fired('before', { rule: 'before' })));
    await eventually(() => watching.lines.some((line) => line.includes('test/before')), { what: 'the watch' });
    await acked(web, web.say(became('critical')));
    await acked(web, web.say(became('healthy'), fired('followed')));
    await eventually(() => watching.lines.some((line) => line.includes('"closed"')), { what: 'the end of the alert' });
    const told = watching.lines.filter((line) => line.includes('test/disk')).map((line) => JSON.parse(line));
    expect(told.map(({ change, matches, alert }) => [change.kind, matches, alert.state])).toEqual([
      ['raised', true, 'new'],
      ['closed', false, 'closed'],
    ]);
    await eventually(() => following.lines.at(-1)?.includes('followed'), { what: 'the event' });
    await watching.stop();
    await following.stop();
  });
});

describe('a monitor that gets worse', () => {
  it('has its diagnostic and its recovery run, and tells how they ended', async () => {
    const web = await agent();
    const show = (value: string) => ({
      packName: 'test',
      taskName: 'show',
      parametersJson: JSON.stringify({ value }),
      cooldownMs: 1_000n,
    });
    const recoveries = [
      { run: show('not this'), when: 'diagnostic.exit_code == 0', most: 1 },
      { run: show('this'), when: 'sample.used > 90', most: 1 },
    ];
    web.say(became('critical', { diagnostic: show('why'), recoveries }));
    const [first] = await eventually(() => web.tasks.length > 0 && web.tasks, { what: 'the diagnostic' });
    expect(first?.parameters).toEqual({ value: 'why' });
    web.endTask(first?.runId ?? '', 3);
    const [, second] = await eventually(() => web.tasks.length > 1 && web.tasks, { what: 'the recovery' });
    expect(second?.parameters).toEqual({ value: 'this' });
    web.endTask(second?.runId ?? '', 0);
    const [alert] = await openAlerts();
    const history = await eventually(
      async () => {
        const answer = await server.operator.unary(AlertServiceService.getAlert, { id: alert?.id ?? '' });
        const said = answer.history.filter(({ kind }) => kind === 'answered').map(({ comment }) => comment);
        return said.length === 4 && said;
      },
      { what: 'both to be told of' },
    );
    expect(history.map((text) => text.replace(/run .*/, 'run'))).toEqual([
      'diagnostic test/show was started as run',
      'diagnostic test/show has ended: failed (exit code 3)',
      'recovery test/show was started as run',
      'recovery test/show has ended: succeeded',
    ]);
    const { run } = await server.operator.getRun(first?.runId ?? '');
    expect(run?.requestedBy).toBe('monitor:test/disk');
  });
});

/** All of it is acknowledged in the end, and each record took effect once. */
async function everythingOnce(agents: readonly EventAgent[], said: number): Promise<void> {
  for (const each of agents) await acked(each, said);
  const alerts = await openAlerts();
  expect(alerts.map(({ agentName, count }) => `${agentName} ${count}`).sort()).toEqual(
    agents.map((_, i) => `web-${i + 1} ${said}`),
  );
}

describe('kill -9', () => {
  const SAID = 3_000;
  const say = (from: EventAgent, count: number) =>
    from.say(...Array.from({ length: count }, (_, i) => fired(`number ${i}`)));

  it('of the server while events come up: each takes effect once', async () => {
    const agents = [await agent(0), await agent(1)];
    for (let round = 0; round < 3; round++) {
      for (const each of agents) say(each, SAID / 3);
      // Somewhere in the middle of it.
      await eventually(() => agents.some((each) => each.acked() > (round * SAID) / 3), { what: 'a first answer' });
      await server.kill9();
      for (const each of agents) each.disconnect();
      server = await server.restart();
      for (const each of agents) await each.connect(server.agentPort);
    }
    await everythingOnce(agents, SAID);
    const counted = await server.operator.unary(EventServiceService.listEvents, {
      filter: { targets: '', level: 0, log: '', source: '', watch: '', text: 'number 0', sinceUnixMs: 0n },
      limit: 1000,
      pageToken: '',
    });
    expect(counted.events).toHaveLength(6);
  });

  it('of PostgreSQL while events come up: each takes effect once', async () => {
    const agents = [await agent(0), await agent(1)];
    for (let round = 0; round < 2; round++) {
      for (const each of agents) say(each, SAID / 2);
      await eventually(() => agents.some((each) => each.acked() > (round * SAID) / 2), { what: 'a first answer' });
      const lost = await metric('openline_database_lost_total');
      await killPostgres(server);
      await eventually(async () => (await metric('openline_database_lost_total')) > lost, {
        what: 'PostgreSQL to be brought back',
        timeoutMs: 60_000,
      });
    }
    await everythingOnce(agents, SAID);
  });

  it('of an agent whose batches were not answered: what it says again changes nothing', async () => {
    const web = await agent();
    const last = say(web, 900);
    web.disconnect();
    await web.connect(server.agentPort);
    web.disconnect();
    await web.connect(server.agentPort);
    await acked(web, last);
    expect((await openAlerts()).map(({ count }) => count)).toEqual([900n]);
  });
});

describe('an agent that floods', () => {
  it('holds up nobody: another one is answered in between, again and again', async () => {
    const [flood, calm] = [await agent(0), await agent(1)];
    const total = 20_000;
    for (let i = 0; i < total; i += 100) {
      const keys = Array.from({ length: 100 }, (_, k) => fired('flood', { key: `key ${(i + k) % 2_000}` }));
      flood.say(...keys);
    }
    const waits: number[] = [];
    const floodMs = performance.now();
    while (flood.acked() < total) {
      const startMs = performance.now();
      await acked(calm, calm.say(fired('calm')));
      waits.push(performance.now() - startMs);
      if (waits.length > 500) break;
    }
    await acked(flood, total);
    waits.sort((a, b) => a - b);
    expect(waits.length).toBeGreaterThan(5);
    // Bounded by the records of a commit or two, not by the length of the flood: which is long on a machine that has other things to do.
    const most = Math.max(2_000, (performance.now() - floodMs) / 4);
    expect(waits[Math.floor(waits.length * 0.9)]).toBeLessThan(most);
    const alerts = await openAlerts();
    const ofFlood = alerts.filter(({ agentName }) => agentName === 'web-1');
    expect(ofFlood).toHaveLength(501);
    expect(ofFlood.reduce((sum, { count }) => sum + Number(count), 0)).toBe(total);
  }, 120_000);
});
