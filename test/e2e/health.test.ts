import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Alert, AlertServiceService, AlertState } from '@openline/proto/alerts';
import {
  type AgentHealth,
  Health,
  HealthServiceService,
  LineState,
  MaintenancePhase,
  MaintenanceServiceService,
} from '@openline/proto/operator-health';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEventLog } from '../../agent/src/events/agent-log/writer.ts';
import {
  canMakeNodes,
  canMount,
  cleanup,
  eventually,
  type FreezableDisk,
  freezableDisk,
  hostsOfNodes,
  packsHeld,
  runCli,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startCli,
  startNode,
  startServer,
  stateName,
  type TestAgent,
  type TestNode,
  type TestServer,
} from '../harness/index.ts';

const nodesPossible = canMakeNodes();
if (!nodesPossible) console.warn('test/e2e/health: no cable is cut, as that takes root and network namespaces');
const disksPossible = canMount();
if (!disksPossible) console.warn('test/e2e/health: no disk hangs, as that takes root and the right to mount');

const PACK = `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: watch, version: 1.0.0, title: Watch, description: For a test. }
tasks:
  look:
    title: Look
    description: May run at any time.
    timeout: 10s
    run: { command: [echo, looked] }
  deploy:
    title: Deploy
    description: Not while somebody works on the machine.
    timeout: 10s
    maintenance: refuse
    run: { command: [echo, deployed] }
rules:
  often:
    title: Often
    description: Three of them.
    on: { log: agent, pattern: '^often' }
    threshold: { count: 3, within: 1h, by: event.message }
    alert: { severity: warning, title: often }
`;

const DECLARED = `apiVersion: openline.dev/v1
kind: Channel
metadata: { name: tell }
spec: { command: { program: tell.sh } }
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: { name: told }
spec: { criteria: { watches: [agent, group] }, send: [{ channel: tell }] }
---
apiVersion: openline.dev/v1
kind: HeartbeatPolicy
metadata: { name: stopped-soon }
spec: { on: role=batch, stoppedAfter: 5s, reason: batch nodes come back at once }
`;

let dir: string;
let server: TestServer;
let frozen: readonly FreezableDisk[] = [];
const agents = new Map<string, TestAgent>();
const nodes = new Map<string, TestNode>();
const RACK = ['rack-1', 'rack-2', 'rack-3', 'rack-4', 'rack-5'];

beforeAll(async () => {
  dir = scratchDir('health');
  const commands = join(dir, 'commands');
  mkdirSync(commands, { recursive: true });
  writeFileSync(join(commands, 'tell.sh'), `#!/bin/sh\n{ cat; echo; } >> ${dir}/told\n`, { mode: 0o755 });
  writeFileSync(join(dir, 'told'), '');
  const hosts = nodesPossible ? hostsOfNodes(2) : [];
  server = await startServer({
    dir,
    agentAddress: nodesPossible ? '0.0.0.0' : '127.0.0.1',
    flags: [
      '--heartbeat-interval=500ms',
      '--offline-after=3s',
      '--line-settle=300ms',
      '--line-grace=8s',
      `--notify-commands=${commands}`,
      `--advertise=${['localhost', '127.0.0.1', ...hosts].join(',')}`,
    ],
  });
  const content = Buffer.from(PACK);
  await server.operator.pushPack(content, await signWithSiteKey(server, content), 'watch.yaml');
  expect(await cli(['apply', '-f', '-'], DECLARED)).toMatchObject({ code: 0 });
  // It takes more than half a minute until it is certain that a disk hangs: this one hangs all the while.
  if (disksPossible) {
    const parts = ['journal', 'event-spool'].map((part) => freezableDisk(join(dir, 'agent-hung', part)));
    await start('hung');
    // It could not say so later.
    await packsHeld(server);
    for (const disk of parts) disk.freeze();
    frozen = parts;
  }
  for (const host of hosts) nodes.set(`node-${hosts.indexOf(host) + 1}`, await startNode());
  await Promise.all([
    start('web-1', { role: 'web' }),
    start('web-2', { role: 'web' }),
    start('db-1', { role: 'db' }),
    start('db-2', { role: 'db' }),
    start('batch-1', { role: 'batch' }),
    ...RACK.map((name) => start(name, { rack: 'r1' })),
    ...[...nodes.keys()].map((name) => start(name, { rack: 'r2' })),
  ]);
}, 120_000);
afterAll(cleanup);

async function start(name: string, labels: Record<string, string> = {}): Promise<void> {
  const node = nodes.get(name);
  agents.set(name, await startAgent({ dir, server, name, labels, ...(node === undefined ? {} : { node }) }));
}

function agent(name: string): TestAgent {
  const found = agents.get(name);
  if (found === undefined) throw new Error(`there is no agent ${name}`);
  return found;
}

async function restart(...names: string[]): Promise<void> {
  await Promise.all(names.map(async (name) => agents.set(name, await agent(name).restart({ server }))));
}

async function cli(args: readonly string[], stdin = '') {
  const { code, stdout, stderr } = await runCli(server, args, { stdin });
  return { code, out: stdout.toString(), err: stderr };
}
const json = async (...args: string[]) => JSON.parse((await cli([...args, '-o', 'json'])).out);

/** Of a watch, open or not, oldest first. */
async function alertsOf(watch: string, name?: string): Promise<Alert[]> {
  const states = [AlertState.ALERT_STATE_NEW, AlertState.ALERT_STATE_CLOSED];
  const filter = { states, severities: [], targets: '', watch, text: '', owner: '' };
  const { alerts } = await server.operator.unary(AlertServiceService.listAlerts, {
    filter,
    limit: 1_000,
    pageToken: '',
  });
  return alerts.filter(({ agentName }) => name === undefined || agentName === name).toReversed();
}

const isOpen = ({ state }: Alert) => state === AlertState.ALERT_STATE_NEW;
const raised = (watch: string, name: string) =>
  eventually(async () => (await alertsOf(watch, name)).find(isOpen), {
    what: `an alert (${watch}) of ${name}`,
    intervalMs: 100,
  });
const closed = (watch: string, { id, agentName }: Alert) =>
  eventually(async () => (await alertsOf(watch)).find((alert) => alert.id === id && !isOpen(alert)), {
    what: `the end of the alert (${watch}) of ${agentName}`,
    intervalMs: 100,
  });
/** There was this one alert, raised once and closed by itself. */
async function wasTheOnly(watch: string, alert: Alert): Promise<void> {
  expect(await closed(watch, alert)).toMatchObject({ count: 1n });
  expect((await alertsOf(watch, alert.agentName)).map(({ id }) => id)).toEqual([alert.id]);
}
const told = () => readFileSync(join(dir, 'told'), 'utf8');
async function healthOf(agent: string): Promise<AgentHealth | undefined> {
  const request = { targets: `name=${agent}`, states: [], limit: 0, pageToken: '' };
  return (await server.operator.unary(HealthServiceService.listAgentHealth, request)).agents[0];
}

describe.concurrent('a line that is lost', () => {
  it('as its agent was killed makes one alert, which names the agent and not the node, and closes by itself', async () => {
    await agent('web-1').kill9();
    const alert = await raised('agent', 'web-1');
    expect(alert.title).toBe('web-1: the agent is down, its node is there');
    expect(alert.description).toMatch(/its connection ended.*\nTCP to 127\.0\.0\.1:\d+: refused/);
    expect(await json('health', 'show', 'web-1')).toMatchObject({
      line: 'lost',
      diagnosis: 'agent',
      counted: 'unreachable',
    });
    await restart('web-1');
    await wasTheOnly('agent', alert);
    expect(await healthOf('web-1')).toMatchObject({ line: LineState.LINE_STATE_UP, state: Health.HEALTH_HEALTHY });
  });

  it('as its agent hangs makes one, though its socket is open, and closes when it goes on', async () => {
    const { process } = agent('web-2');
    process.signal('SIGSTOP');
    const alert = await raised('agent', 'web-2');
    expect(alert.title).toBe('web-2: the agent is down, its node is there');
    expect(alert.description).toContain('its heartbeats stopped while its connection stayed open');
    process.signal('SIGCONT');
    await wasTheOnly('agent', alert);
  });

  it('as its agent was stopped makes none while its time lasts, and a mild one then', async () => {
    const stoppedMs = Date.now();
    await agent('batch-1').stop();
    expect(await healthOf('batch-1')).toMatchObject({
      line: LineState.LINE_STATE_STOPPED,
      state: Health.HEALTH_HEALTHY,
    });
    const alert = await raised('agent', 'batch-1');
    expect(Number(alert.firstUnixMs)).toBeGreaterThanOrEqual(stoppedMs + 5_000);
    expect(alert.title).toBe('batch-1: the agent was stopped and has not come back');
    await restart('batch-1');
    await wasTheOnly('agent', alert);
  });

  it.skipIf(!nodesPossible)(
    'as nothing of its node answers is the node’s while others of its rack are there, and the network’s when they are lost too',
    async () => {
      const lose = async (name: string, title: string) => {
        nodes.get(name)?.cut();
        const { id } = await raised('agent', name);
        return eventually(
          async () => (await alertsOf('agent', name)).find((alert) => alert.id === id && alert.title === title),
          { what: `the diagnosis of ${name}`, intervalMs: 100 },
        );
      };
      const first = await lose('node-1', 'node-1: the node is down');
      const second = await lose('node-2', 'node-2: the network to the node is down');
      for (const node of nodes.values()) node.mend();
      await Promise.all([wasTheOnly('agent', first), wasTheOnly('agent', second)]);
    },
  );

  it('in maintenance is recorded, counted, and told to nobody; what lasts is told when it ends', async () => {
    const { id } = await json('maintenance', 'start', '--agent', 'db-1', '--for', '10m', '--reason', 'a new disk');
    const toldBefore = told().length;
    // The other one's is told: by then this one's would have been.
    await Promise.all([agent('db-1').kill9(), agent('db-2').kill9()]);
    const [suppressed, loud] = await Promise.all([raised('agent', 'db-1'), raised('agent', 'db-2')]);
    expect([suppressed.maintenanceId, loud.maintenanceId]).toEqual([id, '']);
    await eventually(() => told().slice(toldBefore).includes('db-2'), { what: 'somebody to be told of db-2' });
    expect(told().slice(toldBefore)).not.toContain('db-1');
    expect((await json('health')).fleet.counts).toMatchObject({ maintenance: 1 });
    expect(await json('maintenance', 'show', id)).toMatchObject({
      reason: 'a new disk',
      agents: 1,
      suppressed: 1,
      alerts: [{ agent: 'db-1' }],
    });
    expect((await cli(['maintenance', 'end', id])).out).toBe(`maintenance ${id} is over; 1 alert was suppressed\n`);
    const again = await eventually(
      async () => (await alertsOf('agent', 'db-1')).find((alert) => isOpen(alert) && alert.maintenanceId === ''),
      { what: 'the alert after the maintenance' },
    );
    await eventually(() => told().slice(toldBefore).includes('db-1'), { what: 'somebody to be told of db-1' });
    await restart('db-1', 'db-2');
    await Promise.all([closed('agent', again), closed('agent', suppressed), closed('agent', loud)]);
  });
});

// After the others, as all at a time would be an outage of the whole fleet.
describe('afterwards', () => {
  describe.concurrent('a rack that is lost as a whole', () => {
    it('makes one alert, and none for its agents', async () => {
      await Promise.all(RACK.map((name) => agent(name).kill9()));
      const alert = await raised('group', 'rack=r1');
      expect(alert.title).toBe('rack=r1: 5 of 5 agents lost their lines together');
      expect(alert.description).toContain('Their nodes answer');
      const { groups } = await json('health');
      expect(groups.find(({ value }: { value: string }) => value === 'r1')).toMatchObject({ outage: true });
      await restart(...RACK);
      await wasTheOnly('group', alert);
      expect((await alertsOf('agent')).filter(({ agentName }) => RACK.includes(agentName))).toEqual([]);
      await eventually(() => told().includes('5 of 5 agents'), { what: 'somebody to be told' });
    });
  });

  describe.concurrent('maintenance that is planned', () => {
    it('begins in time, and tasks say whether they run in it', async () => {
      const { maintenance: planned } = await server.operator.unary(MaintenanceServiceService.startMaintenance, {
        targets: 'role=batch',
        forMs: 600_000n,
        reason: '',
        startsUnixMs: BigInt(Date.now() + 3_000),
      });
      const id = planned?.id ?? '';
      expect(planned?.phase).toBe(MaintenancePhase.MAINTENANCE_PHASE_SCHEDULED);
      const ends = async (task: string) => {
        const { dispatches } = await server.operator.run(task, { targets: 'role=batch' });
        return dispatches.map(({ state, reasonCode }) => `${stateName(state)} ${reasonCode}`);
      };
      expect(await ends('watch/deploy')).toEqual(['succeeded ']);
      await eventually(
        async () => {
          const { maintenance } = await server.operator.unary(MaintenanceServiceService.getMaintenance, { id });
          return maintenance?.agents === 1;
        },
        { what: 'its beginning', intervalMs: 100 },
      );
      expect(await ends('watch/deploy')).toEqual(['rejected AGENT_IN_MAINTENANCE']);
      expect(await ends('watch/look')).toEqual(['succeeded ']);
      await server.operator.unary(MaintenanceServiceService.endMaintenance, { id });
      expect(await ends('watch/deploy')).toEqual(['succeeded ']);
    });
  });

  describe.concurrent('an override', () => {
    it('holds at once on the agents that it selects, which are connected, and is told of with its reason', async () => {
      await packsHeld(server);
      const twice = (name: string, message: string) =>
        createEventLog({ directory: join(agent(name).dataDir, 'events') }).append(
          [1, 2].map(() => ({ source: 'test', id: '', level: 'info', message, data: {} })),
        );
      const yaml = `apiVersion: openline.dev/v1
kind: Override
metadata: { name: nervous }
spec: { watch: watch/often, on: role=web, threshold: { count: 2 }, reason: they carry the money }
`;
      expect(await cli(['apply', '-f', '-'], yaml)).toMatchObject({ code: 0, err: '' });
      await twice('batch-1', 'often');
      let round = 0;
      await eventually(
        async () => {
          // Each of them twice: never enough for the pack's own threshold.
          round += 1;
          await twice('web-1', `often ${round}`);
          return (await alertsOf('watch/often', 'web-1')).length > 0;
        },
        { what: 'two events to be enough', intervalMs: 300 },
      );
      const { out } = await cli(['rules', 'explain', 'watch/often', '--agent', 'web-1']);
      expect(out).toMatch(/nervous.*role=web/);
      expect(out).toContain('they carry the money');
      expect(await alertsOf('watch/often', 'batch-1')).toEqual([]);
    });
  });
});

describe('a server that is killed and started again', () => {
  it('makes no alert of agents that come back, and one of an agent that does not', async () => {
    const before = await Promise.all([alertsOf('agent'), alertsOf('group')]);
    const watching = startCli(server, ['health', '--watch']);
    await eventually(() => watching.lines.length > 0, { what: 'the watch to begin' });
    await server.kill9();
    await eventually(() => watching.tail().includes('connection lost'), {
      what: 'the watch to say that it is cut off',
    });
    watching.signal('SIGTERM');
    expect((await watching.exited).code).toBe(143);
    await agent('web-1').kill9();
    server = await server.restart();
    const alert = await raised('agent', 'web-1');
    await server.operator.online(agents.size - 1);
    const after = await Promise.all([alertsOf('agent'), alertsOf('group')]);
    expect(after.map((each) => each.length)).toEqual([(before[0]?.length ?? 0) + 1, before[1]?.length]);
    expect(alert.description).toContain('it has not come back since this server started');
    await restart('web-1');
    await closed('agent', alert);
  });
});

describe.skipIf(!disksPossible)('an agent whose disk hangs', () => {
  it('is not healthy, whatever its heartbeats say, and is when the disk goes on', { timeout: 90_000 }, async () => {
    const found = await Promise.all(
      ['executor', 'rules'].map((part) =>
        eventually(async () => (await alertsOf(part, 'hung')).find(isOpen), {
          what: `the alert of its ${part}`,
          timeoutMs: 60_000,
        }),
      ),
    );
    expect(found.map(({ title }) => title)).toEqual([
      'hung: the agent runs no tasks',
      'hung: the rules and monitors of the agent do not work',
    ]);
    expect(await healthOf('hung')).toMatchObject({ line: LineState.LINE_STATE_UP, state: Health.HEALTH_CRITICAL });
    for (const disk of frozen) disk.thaw();
    for (const [i, part] of ['executor', 'rules'].entries()) {
      const alert = found[i];
      if (alert !== undefined) await wasTheOnly(part, alert);
    }
    expect(await healthOf('hung')).toMatchObject({ line: LineState.LINE_STATE_UP, state: Health.HEALTH_HEALTHY });
    expect(await alertsOf('agent', 'hung')).toEqual([]);
  });
});
