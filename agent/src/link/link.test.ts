import { createServer, type Server, type Socket } from 'node:net';
import {
  DisconnectCode,
  Hello,
  type ServerMessage,
  Task,
  TaskOutput,
  TaskReports,
  type Welcome,
} from '@openline/proto/agent';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../enrollment/identity.ts';
import { systemClock } from '../tasks/clock.ts';
import { silentLog } from '../telemetry/log.ts';
import { type Issued, type TestAuthority, testAuthority } from '../testing/certificates.ts';
import { type FakeBehaviour, type FakeServer, startFakeServer, until } from '../testing/fake-server.ts';
import { createLink, type Link, type LinkDeps } from './link.ts';
import { DEFAULT_LINK_POLICY, type LinkPolicy } from './link-machine.ts';
import { openStream } from './stream.ts';

let authority: TestAuthority;
let serverIdentity: Issued;
let identity: Identity;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  authority = await testAuthority();
  serverIdentity = await authority.serverIdentity();
  identity = identityOf(authority, await authority.agentIdentity());
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function identityOf({ caPem }: TestAuthority, { certificatePem, keyPem }: Issued): Identity {
  return { agentId: 'a', agentName: 'one', keyPem, certificatePem, caPem, trustedPackKeys: [], joinTokenHash: '' };
}

async function server(behaviour: Partial<FakeBehaviour> = {}): Promise<FakeServer> {
  const fake = await startFakeServer({ identity: serverIdentity, ...behaviour });
  cleanups.push(() => fake.stop());
  return fake;
}

/** Fast enough for a test; the proportions are those of the real policy. */
// Of a connection, a bound and not a measure: other tests have the processor, too.
const fast: Partial<LinkPolicy> = { connectMs: 2_000, backoff: { baseMs: 20, maxMs: 100 }, failbackMs: 150 };

function link(servers: readonly string[], policy: Partial<LinkPolicy> = {}, deps: Partial<LinkDeps> = {}) {
  const log: string[] = [];
  const welcomes: Welcome[] = [];
  const messages: ServerMessage[] = [];
  let writable = 0;
  const created: Link = createLink(
    {
      clock: systemClock,
      random: Math.random,
      log: {
        ...silentLog,
        warn: (fields) => log.push(JSON.stringify(fields)),
        error: (f) => log.push(JSON.stringify(f)),
      },
      openStream,
      identity: () => identity,
      enrollAgain: async () => false,
      handler: {
        hello: () => Hello.create({ protocolMin: 1, protocolMax: 1, instanceId: 'i' }),
        heartbeat: () => ({
          running: 0,
          queued: 0,
          capacity: 1,
          spooledResults: 0,
          spooledOutputBytes: 0n,
          executorCheckedMsAgo: 0,
          fault: '',
          rssBytes: 1n,
          rulesCheckedMsAgo: 0,
          spooledEventRecords: 0n,
        }),
        opened: (welcome) => {
          welcomes.push(welcome);
          log.push('opened');
        },
        closed: () => log.push('closed'),
        message: (message) => messages.push(message),
        writable: () => writable++,
      },
      ...deps,
    },
    { servers, policy: { ...DEFAULT_LINK_POLICY, servers: servers.length, ...fast, ...policy } },
  );
  cleanups.push(() => created.stop('the test is over'));
  created.start();
  return { link: created, log, welcomes, messages, writable: () => writable };
}

const kindsOf = (seen: { received: { kind?: { $case: string } | undefined }[] } | undefined) =>
  seen?.received.map((m) => m.kind?.$case) ?? [];
const tasks = (runId: string): ServerMessage => ({
  kind: { $case: 'tasks', value: { tasks: [Task.create({ runId })] } },
});
const result = (runId: string) =>
  TaskReports.create({ results: [{ runId, end: 1, signal: '', reasonCode: '', reason: '' }] });

describe('a link over a real socket', () => {
  it('says Hello, and nothing else before Welcome', async () => {
    const fake = await server({
      onMessage: (_seen, message, normally) => {
        if (message.kind?.$case === 'hello') setTimeout(normally, 150);
        else normally();
      },
    });
    const { link: line, welcomes } = link([fake.address]);
    await until(() => fake.streams.length === 1, 'a stream');
    expect(line.reports(result('r'))).toBe(false);
    expect(line.output(TaskOutput.create({ runId: 'r' }))).toBe(false);
    await until(() => welcomes.length === 1, 'Welcome');
    expect(kindsOf(fake.streams[0])).toEqual(['hello']);
  });

  it('keeps one TCP connection through heartbeats, tasks, reports, output, a fetched pack, a renewal and a proof of its node', async () => {
    const fake = await server({
      heartbeatMs: 50,
      fetchPack: () => ({ content: Buffer.from('pack'), signature: 's' }),
      renew: () => ({ certificatePem: 'c', caPem: 'ca' }),
      enroll: () => ({ agentId: 'a', agentName: 'n', certificatePem: 'c', caPem: 'ca', trustedPackKeys: [] }),
    });
    const { link: line, welcomes, messages } = link([fake.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    for (let i = 0; i < 20; i++) fake.streams[0]?.call.write(tasks(`r${i}`));
    await until(() => messages.length === 20, 'the tasks');
    expect(line.reports(result('r1'))).toBe(true);
    expect(line.output(TaskOutput.create({ runId: 'r1', data: Buffer.alloc(100) }))).toBe(true);
    await line.fetchPack(Buffer.alloc(32));
    await line.renew(Buffer.alloc(3));
    await line.attest(Buffer.alloc(3), 'token');
    await until(() => kindsOf(fake.streams[0]).filter((kind) => kind === 'heartbeat').length >= 5, 'five heartbeats');
    expect(kindsOf(fake.streams[0])).toEqual(expect.arrayContaining(['taskReports', 'taskOutput']));
    expect(fake.streams).toHaveLength(1);
    expect(new Set([fake.streams[0]?.peer, ...fake.unaryPeers]).size).toBe(1);
  });

  it('beats at another pace when it is told to, and as Welcome said when it is told 0', async () => {
    const fake = await server({ heartbeatMs: 3_600_000 });
    const { link: line, log } = link([fake.address], {}, { random: () => 0.01 });
    await until(() => log.includes('opened'), 'a session');
    const beats = () => kindsOf(fake.streams[0]).filter((kind) => kind === 'heartbeat').length;
    line.beatEvery(60);
    await until(() => beats() >= 3, 'heartbeats');
    line.beatEvery(0);
    const { state } = line;
    expect(state).toMatchObject({ kind: 'ready', silenceMs: 3 * 3_600_000 });
  });

  it('answers a message of an unknown kind, and goes on', async () => {
    const fake = await server();
    const { welcomes, messages } = link([fake.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    fake.streams[0]?.call.write({ kind: undefined });
    fake.streams[0]?.call.write(tasks('after'));
    await until(() => messages.length === 1, 'the task after it');
    await until(() => kindsOf(fake.streams[0]).includes('unsupported'), 'Unsupported');
  });

  it('says Goodbye when it is stopped, after what was written before', async () => {
    const fake = await server();
    const { link: line, welcomes } = link([fake.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    line.reports(result('last'));
    await line.stop('maintenance');
    await until(() => kindsOf(fake.streams[0]).includes('goodbye'), 'Goodbye');
    expect(kindsOf(fake.streams[0]).slice(-2)).toEqual(['taskReports', 'goodbye']);
  });
});

describe('a server that fails its agents', () => {
  it('by accepting connections and staying silent is left for a new connection', async () => {
    const accepted: Socket[] = [];
    const silent: Server = createServer((socket) => {
      socket.on('error', () => undefined);
      accepted.push(socket);
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => {
      for (const socket of accepted) socket.destroy();
      silent.close();
    });
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : 0;
    link([`localhost:${port}`], { connectMs: 150 });
    await until(() => accepted.length >= 3, 'a third connection');
  });

  it('by taking the stream without ever welcoming it is left, too', async () => {
    const fake = await server({ onMessage: () => undefined });
    link([fake.address], { connectMs: 150 });
    await until(() => fake.streams.length >= 3, 'a third stream');
    expect(new Set(fake.streams.map((seen) => seen.peer)).size).toBe(fake.streams.length);
  });

  it('by no longer answering heartbeats is left after three of them', async () => {
    const fake = await server({
      heartbeatMs: 60,
      onMessage: (_seen, message, normally) => {
        if (message.kind?.$case === 'hello') normally();
      },
    });
    const { log } = link([fake.address]);
    await until(() => fake.streams.length === 2, 'a second connection');
    expect(log.slice(0, 2)).toEqual(['opened', 'closed']);
    expect(fake.streams[0]?.peer).not.toBe(fake.streams[1]?.peer);
  });

  it('by dying is found again when it is back on its port', async () => {
    const first = await server();
    const { welcomes } = link([first.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    await first.stop();
    const second = await server({ port: first.port });
    await until(() => welcomes.length === 2, 'Welcome of the second life');
    expect(second.streams.length).toBeGreaterThanOrEqual(1);
  });

  it('by not being there leads to the next in the list, and back when it is there', async () => {
    const home = await server();
    await home.stop();
    const other = await server();
    const { link: line, welcomes } = link([home.address, other.address]);
    await until(() => welcomes.length === 1, 'Welcome of the second server');
    expect(other.streams).toHaveLength(1);
    const again = await server({ port: home.port });
    await until(() => welcomes.length === 2, 'Welcome of the first server');
    expect(again.streams).toHaveLength(1);
    expect(line.state).toMatchObject({ kind: 'ready', server: 0 });
  });
});

describe('a server that asks its agents to reconnect', () => {
  it('reaches them all the time: the new stream is open before the old one closes', async () => {
    let slow = false;
    const fake = await server({
      onMessage: (_seen, message, normally) => {
        if (slow && message.kind?.$case === 'hello') setTimeout(normally, 200);
        else normally();
      },
    });
    const { welcomes, messages, log } = link([fake.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    slow = true;
    fake.streams[0]?.call.write({ kind: { $case: 'reconnect', value: { afterMs: 10, reason: 'drain' } } });
    await until(() => fake.streams.length === 2, 'a second stream');
    fake.streams[0]?.call.write(tasks('on the old stream, while the new one waits for Welcome'));
    await until(() => messages.length === 1, 'the task');
    expect(welcomes).toHaveLength(1);
    expect(fake.streams[0]?.ended).toBe(false);
    await until(() => welcomes.length === 2, 'Welcome of the new stream');
    fake.streams[1]?.call.write(tasks('on the new stream'));
    await until(() => messages.length === 2, 'the task on the new stream');
    await until(() => fake.streams[0]?.ended === true, 'the end of the old stream');
    expect(log).toEqual(['opened', 'closed', 'opened']);
    expect(fake.streams[0]?.peer).not.toBe(fake.streams[1]?.peer);
  });
});

describe('a server that sends its agents away', () => {
  it('does not see a revoked one again soon', async () => {
    const fake = await server({
      onMessage: ({ call }) => {
        const value = { code: DisconnectCode.DISCONNECT_CODE_REVOKED, message: 'revoked by root', retryAfterMs: 0 };
        call.write({ kind: { $case: 'disconnect', value } });
        call.end();
      },
    });
    const { link: line, log } = link([fake.address]);
    await until(() => line.state.kind === 'waiting', 'a wait');
    expect(line.state).toMatchObject({ kind: 'waiting' });
    expect(log.join()).toContain('AGENT_REVOKED');
    expect(log.join()).toContain('revoked by root');
    expect(log.join()).toContain('join token');
  });

  it('sees it at once when it could enrol again', async () => {
    let first = true;
    const fake = await server({
      onMessage: ({ call }, _message, normally) => {
        if (!first) return normally();
        first = false;
        const value = { code: DisconnectCode.DISCONNECT_CODE_REVOKED, message: '', retryAfterMs: 0 };
        call.write({ kind: { $case: 'disconnect', value } });
      },
    });
    const { welcomes } = link([fake.address], {}, { enrollAgain: async () => true });
    await until(() => welcomes.length === 1, 'Welcome');
  });

  it('gets the time it asked for', async () => {
    const fake = await server({
      onMessage: ({ call }) => {
        const value = { code: DisconnectCode.DISCONNECT_CODE_SERVER_BUSY, message: '', retryAfterMs: 30_000 };
        call.write({ kind: { $case: 'disconnect', value } });
      },
    });
    const { link: line } = link([fake.address]);
    await until(() => line.state.kind === 'waiting', 'a wait');
    const { state } = line;
    expect(state.kind === 'waiting' && state.untilMs - performance.now()).toBeGreaterThan(29_000);
  });
});

describe('a server of another CA', () => {
  it('is not spoken to, and that is said loudly', async () => {
    const other = await testAuthority();
    const fake = await server({ identity: await other.serverIdentity() });
    const { log } = link([fake.address]);
    await until(() => log.length > 0, 'an error');
    expect(log.join()).toContain('SERVER_UNTRUSTED');
    expect(fake.streams).toHaveLength(0);
  });

  it('is not spoken to when only its name is wrong', async () => {
    const fake = await server({ identity: await authority.serverIdentity('other.example') });
    const { log } = link([fake.address]);
    await until(() => log.length > 0, 'an error');
    expect(log.join()).toContain('SERVER_UNTRUSTED');
    expect(fake.streams).toHaveLength(0);
  });
});

describe('a server that reads too slowly', () => {
  it('holds back output, not control, and gets the output when it reads again', async () => {
    let paused = true;
    const fake = await server({
      heartbeatMs: 60_000,
      onMessage: ({ call }, _message, normally) => {
        normally();
        if (paused) call.pause();
      },
    });
    const { link: line, welcomes, writable } = link([fake.address]);
    await until(() => welcomes.length === 1, 'Welcome');
    const chunk = TaskOutput.create({ runId: 'r', data: Buffer.alloc(32_768) });
    let taken = 0;
    while (line.output(chunk)) {
      taken++;
      await new Promise((resolve) => setImmediate(resolve));
      if (taken > 1_000) break;
    }
    // HTTP/2's own window, and the few messages that grpc-js holds; far below what unbounded buffering would take.
    expect(taken).toBeLessThan(100);
    expect(line.reports(result('r'))).toBe(true);
    expect(writable()).toBe(0);
    paused = false;
    fake.streams[0]?.call.resume();
    await until(() => writable() === 1, 'room for output');
    await until(() => kindsOf(fake.streams[0]).includes('taskReports'), 'the report');
  });
});
