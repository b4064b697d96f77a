import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  authorityOf,
  certify,
  cleanup,
  connectionsTo,
  eventually,
  packsHeld,
  readIdentity,
  runCli,
  type Socket,
  scratchDir,
  startAgent,
  startCli,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';
import { TEST_PACK } from '../harness/paths.ts';

// An agent hangs up after three that were not answered: on a busy machine 600 ms would be soon.
const HEARTBEATS = ['--heartbeat-interval=1s', '--offline-after=15s'];

let server: TestServer;
let web: TestAgent;
let db: TestAgent;

beforeAll(async () => {
  const dir = scratchDir('one-line');
  server = await startServer({ dir, flags: HEARTBEATS });
  [web, db] = await Promise.all([
    startAgent({ dir, server, name: 'web', labels: { role: 'web' } }),
    startAgent({ dir, server, name: 'db', labels: { role: 'db' } }),
  ]);
});
afterAll(cleanup);

/** The agent's one connection, from the kernel's table. Fails when it has more than one. */
async function theConnection(agent: TestAgent): Promise<Socket> {
  const open = await connectionsTo(agent.process.pid, server.agentPort);
  expect(open).toHaveLength(1);
  const [only] = open;
  if (only === undefined) throw new Error('unreachable');
  return only;
}

/** Waits until the agent has sent so many heartbeats from now on, as the server sees them. */
async function heartbeats(agent: string, count: number): Promise<void> {
  const seen = startCli(server, ['trace', agent, '-o', 'jsonl']);
  await eventually(() => frames(seen.log()).filter((f) => f.kind === 'heartbeat_ack').length >= count, {
    what: `${count} acknowledged heartbeats of ${agent}`,
  });
  seen.signal('SIGINT');
  await seen.exited;
}

interface Frame {
  readonly direction: unknown;
  readonly kind: unknown;
  readonly detail: string;
  readonly bytes: number;
}

function frames(log: readonly Record<string, unknown>[]): Frame[] {
  return log
    .filter((line) => line['type'] === 'frame')
    .map((line) => ({
      direction: line['direction'],
      kind: line['kind'],
      detail: String(line['detail']),
      bytes: Number(line['bytes']),
    }));
}

describe('the thinnest line', () => {
  it('packs pushed with the CLI reach agents that were connected before', async () => {
    const before = await Promise.all([web, db].map(theConnection));
    const pushed = await runCli(server, ['packs', 'push', TEST_PACK, 'utility', '-o', 'json']);
    expect(pushed.stderr).toBe('');
    expect(pushed.code).toBe(0);
    await packsHeld(server);
    // The packs came down the connection that was open already.
    expect(await Promise.all([web, db].map(theConnection))).toEqual(before);
  });

  it('a task runs on the targets that were asked for, and its output comes back', async () => {
    const shown = await runCli(server, [
      'run',
      'test/show',
      '--on',
      'role=web',
      '-p',
      'value=over the line',
      '--follow',
    ]);
    expect(shown.stderr).toContain('succeeded');
    expect(shown.stdout.toString()).toBe('over the line');
    expect(shown.code).toBe(0);
  });

  it('output arrives while the task still runs', async () => {
    const child = startCli(server, [
      'run',
      'test/marker',
      '--on',
      'name=web',
      '-p',
      `dir=${server.dir}`,
      '-p',
      'ms=60000',
      '--follow',
    ]);
    const started = await eventually(() => child.lines.find((line) => line.includes('started as')), {
      what: 'the first line of output',
    });
    const pid = Number(/started as (\d+)/.exec(started)?.[1]);
    expect(process.kill(pid, 0)).toBe(true);
    const open = await runCli(server, ['runs', 'list', '--open', '-o', 'jsonl']);
    const [run] = open.stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect((await runCli(server, ['runs', 'cancel', run.id])).code).toBe(0);
    expect((await child.exited).code).toBe(1);
  });

  it('a result is in the database before it is shown, and a failing target makes exit code 1', async () => {
    const failed = await runCli(server, ['run', 'test/exit', '--on', 'all', '-p', 'code=3', '-o', 'json']);
    expect(failed.code).toBe(1);
    const view = JSON.parse(failed.stdout.toString());
    const { dispatches } = await server.operator.getRun(view.id);
    expect(dispatches.map(({ agentName, exitCode, reasonCode }) => ({ agentName, exitCode, reasonCode }))).toEqual([
      { agentName: 'db', exitCode: 3, reasonCode: 'TASK_EXIT_CODE' },
      { agentName: 'web', exitCode: 3, reasonCode: 'TASK_EXIT_CODE' },
    ]);
  });
});

describe('one TCP connection per agent, in the table of the operating system', () => {
  it('has the same local port before and after heartbeats and tasks', async () => {
    const before = await Promise.all([web, db].map(theConnection));
    await Promise.all([heartbeats('web', 3), heartbeats('db', 3)]);
    for (let i = 0; i < 5; i++) {
      const { run } = await server.operator.run('test/show', { parameters: { value: `${i}` } });
      expect(run?.counts).toEqual([{ state: 5, count: 2 }]);
      expect(await Promise.all([web, db].map(theConnection))).toEqual(before);
    }
  });

  it('is a new one after the agent restarted, which then stays; the other agent keeps its own', async () => {
    const [webBefore, dbBefore] = await Promise.all([web, db].map(theConnection));
    await web.stop();
    web = await web.restart();
    const webAfter = await theConnection(web);
    expect(webAfter.localPort).not.toBe(webBefore?.localPort);
    await heartbeats('web', 2);
    await server.operator.run('test/show', { parameters: { value: 'again' } });
    expect(await theConnection(web)).toEqual(webAfter);
    expect(await theConnection(db)).toEqual(dbBefore);
  });

  it('carries the renewal of the certificate as well', async () => {
    // Past half of its life, as after a weekend: it is renewed as soon as the line is open.
    await db.stop();
    const identity = await readIdentity(db.dataDir);
    const hour = 3_600_000;
    const old = await certify(await authorityOf(server), identity, {
      notBefore: new Date(Date.now() - 20 * hour),
      notAfter: new Date(Date.now() + 4 * hour),
    });
    await writeFile(identity.certificateFile, old);
    db = await db.restart();
    const connection = await theConnection(db);
    await eventually(() => db.process.log().some((line) => line['msg'] === 'renewed the certificate'), {
      what: 'the renewal',
    });
    const renewed = await readIdentity(db.dataDir);
    expect(renewed.certificatePem).not.toBe(old);
    expect(renewed.keyPem).not.toBe(identity.keyPem);
    await heartbeats('db', 2);
    expect(await theConnection(db)).toEqual(connection);
    // And the next connection is made with it.
    await db.stop();
    db = await db.restart();
  });
});

describe('openline trace', () => {
  it('shows a heartbeat and a task pass on the connection that was already open', async () => {
    const socket = await theConnection(web);
    const trace = startCli(server, ['trace', 'web', '-o', 'jsonl']);
    await eventually(() => trace.log()[0], { what: 'the snapshot' });
    const { run } = await server.operator.run('test/show', { targets: 'name=web', parameters: { value: 'traced' } });
    const id = run?.id ?? '';
    await eventually(() => frames(trace.log()).some((f) => f.kind === 'heartbeat_ack' && f.detail.includes(id)), {
      what: 'the answer to a heartbeat that says that the result is committed',
    });
    trace.signal('SIGINT');
    expect((await trace.exited).code).toBe(130);

    const [snapshot] = trace.log();
    expect(snapshot).toMatchObject({ type: 'snapshot', connected: true, tlsProtocol: 'TLSv1.3' });
    expect(String(snapshot?.['remoteAddress'])).toMatch(new RegExp(`:${socket.localPort}$`));
    // One snapshot only: the session did not change.
    expect(trace.log().filter((line) => line['type'] === 'snapshot')).toHaveLength(1);

    const seen = frames(trace.log());
    const ofTask = seen.filter((f) => f.detail.includes(id)).map((f) => `${f.direction} ${f.kind}`);
    expect(ofTask[0]).toBe('down tasks');
    expect(ofTask).toContain('up task_reports');
    expect(ofTask).toContain('up task_output');
    // That it is committed costs no message of its own, and is not said before the result came.
    expect(ofTask).not.toContain('down result_ack');
    expect(ofTask.indexOf('down heartbeat_ack')).toBeGreaterThan(ofTask.indexOf('up task_reports'));
    const heartbeat = seen.find((f) => f.kind === 'heartbeat');
    expect(heartbeat?.direction).toBe('up');
    expect(heartbeat?.bytes).toBeLessThan(100);
    expect(await theConnection(web)).toEqual(socket);
  });
});

describe('what the server leaves for a CLI on its machine', () => {
  it('is enough for the CLI without a word of configuration', async () => {
    const client = JSON.parse(await readFile(join(server.dataDir, 'client.json'), 'utf8'));
    expect(client.server).toBe(`localhost:${server.operatorPort}`);
    const who = await runCli(server, ['whoami', '-o', 'json']);
    expect(JSON.parse(who.stdout.toString())).toMatchObject({ role: 'admin' });
  });
});
