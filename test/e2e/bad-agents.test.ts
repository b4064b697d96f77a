import { randomBytes, randomUUID } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { createConnection, type Socket as NetSocket } from 'node:net';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { type AgentMessage, DisconnectCode, OutputStream } from '@openline/proto/agent';
import { AccessServiceService, FleetServiceService, TokenKind } from '@openline/proto/operator';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentIdentity,
  authorityOf,
  type BareAgent,
  bareAgent,
  certify,
  cleanup,
  connectionsTo,
  eventually,
  foreignAuthority,
  packsHeld,
  pushPacks,
  readIdentity,
  type Socket,
  scratchDir,
  startAgent,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

let dir: string;
let server: TestServer;
/** Who notices nothing of all this. */
let calm: TestAgent;
let calmSocket: Socket | undefined;
/** Enrolled properly, then stopped: its identity is used by impostors. */
let identity: AgentIdentity;
const HOUR_MS = 3_600_000;

beforeAll(async () => {
  dir = scratchDir('bad-agents');
  server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=15s'] });
  await pushPacks(server);
  calm = await startAgent({ dir, server, name: 'calm' });
  const lent = await startAgent({ dir, server, name: 'lent' });
  await packsHeld(server);
  await lent.stop();
  identity = await readIdentity(lent.dataDir);
  [calmSocket] = await connectionsTo(calm.process.pid, server.agentPort);
});
afterAll(cleanup);

const open: { close(): void }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) each.close();
  // Whatever happened: the same connection, the same session, and it works.
  expect(await connectionsTo(calm.process.pid, server.agentPort)).toEqual([calmSocket]);
  const [agent] = await server.operator.agents('name=calm');
  expect(agent).toMatchObject({ online: true, sessionEpoch: 1n });
  const { run } = await server.operator.run('test/show', { targets: 'name=calm', parameters: { value: 'calm' } });
  expect(run?.counts).toEqual([{ state: 5, count: 1 }]);
});

function impostor(changes: Partial<AgentIdentity> = {}, without: readonly 'certificate'[] = []): BareAgent {
  const { caPem, keyPem, certificatePem } = { ...identity, ...changes };
  const agent = bareAgent(
    server.agentPort,
    without.includes('certificate') ? { caPem } : { caPem, keyPem, certificatePem },
  );
  open.push(agent);
  return agent;
}

/** The value of a metric; 0 when there is none. */
async function metric(name: string, labels: string): Promise<number> {
  const { body } = await server.http('/metrics');
  const line = body.split('\n').find((each) => each.startsWith(`${name}{${labels}}`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** Runs it, and holds that exactly that counter went up by one, and that a line of the log names the code. */
async function refusedAs(
  code: string,
  what: () => Promise<unknown>,
  name = 'openline_hello_rejected_total',
): Promise<void> {
  const before = await metric(name, `reason="${code}"`);
  const lines = server.process.log().length;
  await what();
  await eventually(async () => (await metric(name, `reason="${code}"`)) === before + 1, {
    what: `${name} of ${code} to count it`,
  });
  await eventually(
    () =>
      server.process
        .log()
        .slice(lines)
        .some((line) => line['code'] === code),
    { what: `a log line with ${code}` },
  );
}

describe('a certificate', () => {
  it('that is missing is refused', async () => {
    await refusedAs('CERTIFICATE_MISSING', async () => {
      const agent = impostor({}, ['certificate']);
      agent.hello();
      expect(await agent.ended).toMatchObject({ code: 16, errorCode: 'CERTIFICATE_MISSING' });
    });
  });

  it('of another authority with the same names is refused', async () => {
    const foreign = await foreignAuthority(await authorityOf(server));
    const notAfter = new Date(Date.now() + HOUR_MS);
    const certificatePem = await certify(foreign, identity, { notBefore: new Date(Date.now() - HOUR_MS), notAfter });
    await refusedAs('CERTIFICATE_MISSING', async () => {
      const agent = impostor({ certificatePem });
      agent.hello();
      expect(await agent.ended).toMatchObject({ code: 16, errorCode: 'CERTIFICATE_MISSING' });
    });
  });

  it('that has expired is refused', async () => {
    const certificatePem = await certify(await authorityOf(server), identity, {
      notBefore: new Date(Date.now() - 2 * HOUR_MS),
      notAfter: new Date(Date.now() - HOUR_MS),
    });
    await refusedAs('CERTIFICATE_EXPIRED', async () => {
      const agent = impostor({ certificatePem });
      agent.hello();
      expect(await agent.ended).toMatchObject({ code: 16, errorCode: 'CERTIFICATE_EXPIRED' });
    });
  });

  it('that expires while the session is open ends the session', async () => {
    const certificatePem = await certify(await authorityOf(server), identity, {
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + 3000),
    });
    await refusedAs(
      'CERTIFICATE_EXPIRED',
      async () => {
        const agent = impostor({ certificatePem });
        agent.hello();
        await agent.welcomed();
        const beats = setInterval(() => agent.send(heartbeat(1n)), 200);
        open.push({ close: () => clearInterval(beats) });
        expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_CERTIFICATE_EXPIRED);
      },
      'openline_sessions_ended_total',
    );
  });

  it('that was revoked ends the session at once, and neither says Hello nor fetches a pack again', async () => {
    const revoked = await startAgent({ dir, server, name: 'revoked' });
    const { caPem, keyPem, certificatePem } = await readIdentity(revoked.dataDir);
    await refusedAs(
      'AGENT_REVOKED',
      () => server.operator.unary(FleetServiceService.revokeAgent, { agent: 'revoked', reason: 'left the company' }),
      'openline_sessions_ended_total',
    );
    await eventually(() => revoked.process.log().some((line) => line['code'] === 'AGENT_REVOKED'), {
      what: 'the agent to say so',
    });
    await revoked.stop();
    await refusedAs('AGENT_REVOKED', async () => {
      const agent = impostor({ caPem, keyPem, certificatePem });
      agent.hello();
      expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_REVOKED);
    });
    const [pack] = await server.operator.packs();
    const agent = impostor({ caPem, keyPem, certificatePem });
    await expect(agent.fetchPack(pack?.digest ?? new Uint8Array())).rejects.toThrow('[PROTOCOL_VIOLATION]');
  });
});

function heartbeat(seq: bigint): AgentMessage {
  return {
    kind: {
      $case: 'heartbeat',
      value: {
        seq,
        sentUnixMs: BigInt(Date.now()),
        running: 0,
        queued: 0,
        capacity: 8,
        spooledResults: 0,
        spooledOutputBytes: 0n,
        executorCheckedMsAgo: 0,
        fault: '',
        rssBytes: 0n,
        rulesCheckedMsAgo: 0,
        spooledEventRecords: 0n,
      },
    },
  };
}

describe('what breaks the protocol', () => {
  it('an unknown version is refused, and told which ones there are', async () => {
    await refusedAs('PROTOCOL_UNSUPPORTED', async () => {
      const agent = impostor();
      agent.hello({ protocolMin: 98, protocolMax: 99 });
      expect(await agent.disconnected()).toMatchObject({
        code: DisconnectCode.DISCONNECT_CODE_PROTOCOL_UNSUPPORTED,
        message: expect.stringContaining('98 to 99'),
      });
    });
  });

  it('a message before Welcome', async () => {
    await refusedAs('PROTOCOL_VIOLATION', async () => {
      const agent = impostor();
      agent.send(heartbeat(1n));
      expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION);
    });
  });

  it('a second Hello', async () => {
    await refusedAs(
      'PROTOCOL_VIOLATION',
      async () => {
        const agent = impostor();
        agent.hello();
        await agent.welcomed();
        agent.hello();
        expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION);
      },
      'openline_sessions_ended_total',
    );
  });

  it('more output than was granted', async () => {
    await refusedAs(
      'PROTOCOL_VIOLATION',
      async () => {
        const agent = impostor();
        agent.hello();
        const { outputWindowBytes } = await agent.welcomed();
        const data = Buffer.alloc(32 * 1024);
        // So much that what is committed meanwhile does not excuse it.
        for (let sent = 0; sent < 32 * outputWindowBytes; sent += data.length) {
          const value = { runId: randomUUID(), offset: 0n, stream: OutputStream.OUTPUT_STREAM_STDOUT, data, round: 0 };
          agent.send({ kind: { $case: 'taskOutput', value } });
        }
        expect(await agent.disconnected()).toMatchObject({
          code: DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION,
          message: expect.stringContaining('more output than'),
        });
      },
      'openline_sessions_ended_total',
    );
  });

  it('bytes that are no message', async () => {
    await refusedAs('PROTOCOL_VIOLATION', async () => {
      const agent = impostor();
      agent.sendBytes(Buffer.from('ffffffffffffffffffff', 'hex'));
      expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION);
    });
  });

  it('as many reports as a message has room for, at the moment of Welcome', async () => {
    const accepted = Array.from({ length: 130_000 }, () => ({ runId: '', atUnixMs: 0n, queuePosition: 0 }));
    const reports: AgentMessage = {
      kind: { $case: 'taskReports', value: { accepted, started: [], progress: [], results: [] } },
    };
    // What the agent is owed is not settled yet when it comes, or just so: which it is cannot be chosen from outside.
    for (let i = 0; i < 5; i++) {
      const agent = impostor();
      const welcomed = Promise.withResolvers<void>();
      agent.onMessage(welcomed.resolve);
      agent.hello();
      await welcomed.promise;
      agent.send(reports);
      expect((await agent.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION);
      await agent.ended;
    }
  });

  it('but not a kind that this server does not know: answered, and not fatal', async () => {
    const agent = impostor();
    agent.hello();
    await agent.welcomed();
    agent.sendBytes(Buffer.from([0xfa, 0x01, 0x00])); // field 31, empty
    await eventually(() => agent.received.some(({ kind }) => kind?.$case === 'unsupported'), { what: 'the answer' });
    agent.send(heartbeat(7n));
    await eventually(() => agent.received.some(({ kind }) => kind?.$case === 'heartbeatAck'), {
      what: 'a heartbeat that counts',
    });
  });

  it('a message of 100 MiB: the session ends, and the server does not grow by it', async () => {
    const before = await metric('openline_sessions_ended_total', 'reason="MESSAGE_TOO_LARGE"');
    const peakBefore = await peakKb(server.process.pid);
    const agent = impostor();
    agent.hello();
    await agent.welcomed();
    agent.sendBytes(Buffer.alloc(100 * 1024 * 1024));
    expect((await agent.ended).code).not.toBe(0);
    await eventually(
      async () => (await metric('openline_sessions_ended_total', 'reason="MESSAGE_TOO_LARGE"')) === before + 1,
      { what: 'it to be counted' },
    );
    expect((await peakKb(server.process.pid)) - peakBefore).toBeLessThan(60_000);
  });
});

/** The most memory it ever had, from the kernel. */
async function peakKb(pid: number): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe('garbage on the port', () => {
  it('raw, is counted as a failed handshake', async () => {
    const before = await metric('openline_handshakes_total', 'outcome="failed"');
    for (let i = 0; i < 5; i++) {
      const socket = createConnection(server.agentPort, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(randomBytes(10_000));
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await eventually(async () => (await metric('openline_handshakes_total', 'outcome="failed"')) >= before + 5, {
      what: 'five failed handshakes',
    });
  });

  it('inside TLS, ends that connection', async () => {
    for (const [key, cert] of [
      [undefined, undefined],
      [identity.keyPem, identity.certificatePem],
    ] as const) {
      const socket = tlsConnect({
        port: server.agentPort,
        host: 'localhost',
        ca: identity.caPem,
        ...(key && { key, cert }),
        ALPNProtocols: ['h2'],
      });
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      socket.resume().write(randomBytes(100_000));
      await new Promise((resolve) => socket.once('close', resolve));
    }
  });

  it('that connects two hundred times and says nothing keeps nobody out', async () => {
    const idle: NetSocket[] = Array.from({ length: 200 }, () =>
      createConnection(server.agentPort, '127.0.0.1').on('error', () => {}),
    );
    open.push({ close: () => idle.forEach((socket) => void socket.destroy()) });
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    const startMs = performance.now();
    const agent = impostor();
    agent.hello();
    await agent.welcomed();
    expect(performance.now() - startMs).toBeLessThan(12_000);
  });
});

describe('a copied identity', () => {
  it('on another machine is refused, as long as the first is connected', async () => {
    const first = await startAgent({ dir, server, name: 'first' });
    const copy = { ...first, dir: join(dir, 'elsewhere') };
    await cp(first.dataDir, join(copy.dir, 'agent-first'), { recursive: true });
    let second: TestAgent | undefined;
    await refusedAs('IDENTITY_IN_USE', async () => {
      second = await startAgent({ dir: copy.dir, server, name: 'first', joinToken: 'unused', awaitOnline: false });
      await eventually(() => second?.process.log().some((line) => line['code'] === 'IDENTITY_IN_USE'), {
        what: 'the copy to say so',
      });
    });
    const [agent] = await server.operator.agents('name=first');
    expect(agent).toMatchObject({ online: true, sessionEpoch: 1n });
    await second?.stop();
    await first.stop();
  });

  it('whatever in it differs: the machine, the journal, or a process that was replaced', async () => {
    const held = { instanceId: randomUUID(), machineId: randomUUID(), journalId: randomUUID() };
    const holder = impostor();
    holder.hello(held);
    await holder.welcomed();
    for (const changed of [
      { machineId: randomUUID(), instanceId: randomUUID() },
      { journalId: randomUUID(), instanceId: randomUUID() },
    ]) {
      await refusedAs('IDENTITY_IN_USE', async () => {
        const copy = impostor();
        copy.hello({ ...held, ...changed });
        expect((await copy.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_IDENTITY_IN_USE);
      });
    }
    // A restarted agent takes over; the process that it replaced is dead, so when it speaks again there are two.
    const restarted = impostor();
    restarted.hello({ ...held, instanceId: randomUUID() });
    await restarted.welcomed();
    expect((await holder.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_SUPERSEDED);
    await refusedAs('IDENTITY_IN_USE', async () => {
      const back = impostor();
      back.hello(held);
      expect((await back.disconnected()).code).toBe(DisconnectCode.DISCONNECT_CODE_IDENTITY_IN_USE);
    });
  });
});

describe('a join token', () => {
  const enrollments = (outcome: string) => metric('openline_enrollments_total', `kind="enroll",outcome="${outcome}"`);
  const tryToJoin = async (name: string, joinToken: string): Promise<string> => {
    const before = await enrollments('JOIN_TOKEN_INVALID');
    const agent = await startAgent({ dir, server, name, joinToken, awaitOnline: false });
    expect((await agent.process.exited).code).toBe(1);
    expect(await enrollments('JOIN_TOKEN_INVALID')).toBe(before + 1);
    expect((await server.operator.agents()).map((each) => each.name)).not.toContain(name);
    return agent.process.tail();
  };

  it('works once', async () => {
    const token = await server.operator.joinToken();
    const joined = await startAgent({ dir, server, name: 'joined', joinToken: token });
    expect(await tryToJoin('second', token)).toContain('[JOIN_TOKEN_INVALID]');
    await joined.stop();
  });

  it('that has expired, was revoked, or was made up does not work', async () => {
    const create = (ttlMs: bigint) =>
      server.operator.unary(AccessServiceService.createToken, {
        kind: TokenKind.TOKEN_KIND_JOIN,
        name: 'short',
        role: '',
        ttlMs,
        labels: {},
      });
    const expired = await create(1n);
    expect(await tryToJoin('late', expired.secret)).toContain('[JOIN_TOKEN_INVALID]');
    const { token, secret } = await create(0n);
    await server.operator.unary(AccessServiceService.revokeToken, { id: token?.id ?? '' });
    expect(await tryToJoin('uninvited', secret)).toContain('[JOIN_TOKEN_INVALID]');
    expect(await tryToJoin('guess', `${secret.slice(0, -4)}AAAA`)).toContain('[JOIN_TOKEN_INVALID]');
  });

  it('is not even shown to a server whose CA is another', async () => {
    const token = await server.operator.joinToken();
    const caHash = `sha256:${'0'.repeat(64)}`;
    const wrong = { ...server, caHash };
    const agent = await startAgent({ dir, server: wrong, name: 'careful', joinToken: token, awaitOnline: false });
    expect((await agent.process.exited).code).toBe(1);
    expect(agent.process.tail()).toContain('[SERVER_UNTRUSTED]');
    expect(agent.process.tail()).not.toContain(token);
    const { tokens } = await server.operator.unary(AccessServiceService.listTokens, {});
    expect(
      tokens.filter(({ lastUsedUnixMs, usedByAgent }) => lastUsedUnixMs === 0n && usedByAgent === '').length,
    ).toBeGreaterThan(0);
    // It was not used: it still works.
    const careful = await startAgent({ dir, server, name: 'careful', joinToken: token });
    await careful.stop();
  });
});
