import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, generateKeyPair, parseSecretKey, signPack } from '@openline/packs';
import {
  type AgentMessage,
  DisconnectCode,
  type EnrollRequest,
  type ServerMessage,
  Task,
  TaskEnd,
  Welcome,
} from '@openline/proto/agent';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunningAgent, startAgent } from './agent.ts';
import { loadConfig } from './config/config.ts';
import { silentLog } from './telemetry/log.ts';
import { type TestAuthority, testAuthority } from './testing/certificates.ts';
import { type FakeBehaviour, type FakeServer, type Seen, startFakeServer, until } from './testing/fake-server.ts';

const keys = generateKeyPair('test');
const content = Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata: { name: demo, version: 1.0.0, title: Demo, description: For tests. }
tasks:
  greet:
    title: Greet
    description: Says hello.
    risk: read
    timeout: 10s
    parameters:
      to: { type: string, title: To, description: Whom. }
    run:
      script: { interpreter: sh, source: 'echo "hello $OPENLINE_PARAM_TO"' }
`);
const digest = digestOf(content);
const signature = signPack(content, parseSecretKey(keys.secretKey), 'test');

let authority: TestAuthority;
let dir: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  authority = await testAuthority();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'openline-agent-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(dir, { recursive: true });
});

async function server(behaviour: Partial<FakeBehaviour> = {}): Promise<FakeServer> {
  let enrolled = 0;
  const fake = await startFakeServer({
    identity: await authority.serverIdentity(),
    heartbeatMs: 100,
    enroll: async ({ csrDer, name }: EnrollRequest) => ({
      agentId: `agent-${++enrolled}`,
      agentName: name,
      certificatePem: await authority.sign(csrDer),
      caPem: authority.caPem,
      trustedPackKeys: [keys.publicKey.trim().split('\n').at(-1) ?? ''],
    }),
    fetchPack: () => ({ content, signature }),
    ...behaviour,
  });
  cleanups.push(() => fake.stop());
  return fake;
}

async function agent(fake: FakeServer, flags: Record<string, unknown> = {}): Promise<RunningAgent> {
  const config = await loadConfig({
    flags: {
      servers: [fake.address],
      dataDir: join(dir, 'agent'),
      name: 'web-1',
      labels: ['role=web'],
      caHash: authority.caHash,
      joinToken: 'token-1',
      ...flags,
    },
  });
  const linkPolicy = { backoff: { baseMs: 20, maxMs: 100 } };
  const running = await startAgent(config, { log: silentLog, linkPolicy });
  cleanups.push(() => running.stop('the test is over'));
  return running;
}

type Kind = NonNullable<AgentMessage['kind']>;
const received = <C extends Kind['$case']>(seen: Seen | undefined, $case: C) =>
  (seen?.received ?? []).flatMap(({ kind }) =>
    kind?.$case === $case ? [kind.value as Extract<Kind, { $case: C }>['value']] : [],
  );
const send = (seen: Seen | undefined, message: ServerMessage) => seen?.call.write(message);
const wantPack: ServerMessage = {
  kind: { $case: 'packsWanted', value: { packs: [{ digest, name: 'demo', version: '1.0.0' }] } },
};
const RUN = '0198c0de-0000-7000-8000-000000000001';
const run = (runId = RUN, more: Partial<Task> = {}): ServerMessage => ({
  kind: {
    $case: 'tasks',
    value: {
      tasks: [
        Task.create({
          runId,
          packName: 'demo',
          packDigest: digest,
          taskName: 'greet',
          parametersJson: '{"to":"you"}',
          timeoutMs: 10_000,
          expiresInMs: 60_000n,
          ...more,
        }),
      ],
    },
  },
});

describe('an agent', () => {
  it('enrols, connects, fetches the wanted pack, runs a task of it and owes the result until it is committed', async () => {
    const fake = await server();
    const running = await agent(fake);
    expect(running.identity).toMatchObject({ agentId: 'agent-1', agentName: 'web-1' });
    await until(() => fake.streams.length === 1, 'a stream');
    const [seen] = fake.streams;
    await until(() => received(seen, 'hello').length === 1, 'Hello');
    expect(received(seen, 'hello')[0]).toMatchObject({ labels: { role: 'web' }, heldPacks: [] });
    expect(received(seen, 'hello')[0]).toMatchObject({ capacity: 8, queueLimit: 256 });
    expect(received(seen, 'hello')[0]?.facts['interpreter.sh']).toMatch(/\/sh$/);

    send(seen, wantPack);
    send(seen, run());
    await until(() => received(seen, 'packStatus').length === 1, 'the status of the pack');
    expect(received(seen, 'packStatus')[0]?.packs).toMatchObject([{ ready: true }]);
    await until(() => received(seen, 'taskReports').some((r) => r.results.length > 0), 'the result');
    const results = received(seen, 'taskReports').flatMap((r) => r.results);
    expect(results).toMatchObject([{ runId: RUN, end: TaskEnd.TASK_END_SUCCEEDED, exitCode: 0 }]);
    await until(() => received(seen, 'taskOutput').length > 0, 'the output');
    expect(received(seen, 'taskOutput').map((o) => o.data.toString())).toEqual(['hello you\n']);
    await until(() => received(seen, 'heartbeat').at(-1)?.spooledResults === 1, 'a heartbeat that tells of the result');
    expect(received(seen, 'heartbeat').at(-1)).toMatchObject({ fault: '' });

    // The server crashed before its commit: the result is said again on the next connection.
    seen?.call.destroy();
    await until(() => received(fake.streams[1], 'taskReports').some((r) => r.results.length > 0), 'the result again');
    expect(received(fake.streams[1], 'hello')[0]).toMatchObject({ openRunIds: [RUN], heldPacks: [{ name: 'demo' }] });
    send(fake.streams[1], { kind: { $case: 'resultAck', value: { runIds: [RUN] } } });
    await until(() => received(fake.streams[1], 'heartbeat').at(-1)?.spooledResults === 0, 'nothing owed');
  });

  it('puts into parameters what a selector at the server sees of it: pinned labels before its own, as they are now', async () => {
    const fake = await server({
      onMessage(seen, message, normally) {
        if (message.kind?.$case !== 'hello') return normally();
        const value = Welcome.create({
          protocol: 1,
          agentName: 'called-so',
          heartbeatIntervalMs: 100,
          outputWindowBytes: 65_536,
          pinnedLabels: { role: 'db' },
        });
        seen.call.write({ kind: { $case: 'welcome', value } });
      },
    });
    await agent(fake, { labels: ['role=web', 'site=lyon'] });
    await until(() => received(fake.streams[0], 'hello').length === 1, 'Hello');
    const [seen] = fake.streams;
    expect(received(seen, 'hello')[0]?.capabilities).toContain('parameters-from');
    send(seen, wantPack);
    await until(() => received(seen, 'packStatus').length === 1, 'the status of the pack');
    let count = 0;
    const saysOf = async (to: string) => {
      const runId = RUN.replace(/1$/, `${++count}`);
      send(seen, run(runId, { parametersJson: '{}', parametersFrom: { to } }));
      const outputs = () => received(seen, 'taskOutput').filter((o) => o.runId === runId);
      await until(() => outputs().length > 0, `the output of ${to}`);
      return outputs().map((o) => o.data.toString());
    };
    expect(await saysOf('name')).toEqual(['hello called-so\n']);
    expect(await saysOf('label:site')).toEqual(['hello lyon\n']);
    expect(await saysOf('label:role')).toEqual(['hello db\n']);
    send(seen, { kind: { $case: 'pinnedLabels', value: { labels: { site: 'paris' } } } });
    expect(await saysOf('label:role')).toEqual(['hello web\n']);
    expect(await saysOf('label:site')).toEqual(['hello paris\n']);
  });

  it('keeps its identity and its packs over a restart, without the join token and the CA', async () => {
    const fake = await server();
    const first = await agent(fake);
    await until(() => received(fake.streams[0], 'hello').length === 1, 'Hello');
    send(fake.streams[0], wantPack);
    await until(() => received(fake.streams[0], 'packStatus').length === 1, 'the pack');
    await first.stop('restart');
    expect(received(fake.streams[0], 'goodbye')).toEqual([{ reason: 'restart' }]);
    await agent(fake, { joinToken: undefined, caHash: undefined });
    await until(() => received(fake.streams[1], 'hello').length === 1, 'Hello again');
    const [before, after] = fake.streams.map((seen) => received(seen, 'hello')[0]);
    expect(after?.heldPacks).toHaveLength(1);
    expect(after?.journalId).toBe(before?.journalId);
    expect(after?.machineId).toBe(before?.machineId);
    expect(after?.instanceId).not.toBe(before?.instanceId);
    expect(fake.enrolls).toHaveLength(1);
    send(fake.streams[1], run());
    await until(() => received(fake.streams[1], 'taskReports').some((r) => r.results.length > 0), 'a result');
  });

  it('uses its data directory alone', async () => {
    const fake = await server();
    await agent(fake);
    await expect(agent(fake)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' });
  });

  it('gives its data directory back when the start fails', async () => {
    const fake = await server();
    await expect(agent(fake, { joinToken: undefined })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('openline tokens create --join'),
    });
    await agent(fake);
  });

  it('gets a new identity with a token that it has not used, when the old one is refused', async () => {
    const fake = await server({
      onMessage: (seen, message, normally) => {
        if (fake.streams.length > 2 || message.kind?.$case !== 'hello') return normally();
        const value = { code: DisconnectCode.DISCONNECT_CODE_REVOKED, message: '', retryAfterMs: 0 };
        send(seen, { kind: { $case: 'disconnect', value } });
      },
    });
    const first = await agent(fake);
    await until(() => first.state.kind === 'waiting', 'a wait');
    await first.stop('restart');
    expect(fake.enrolls).toHaveLength(1);
    const second = await agent(fake, { joinToken: 'token-2' });
    await until(() => second.identity.agentId === 'agent-2', 'a new identity');
    await until(() => second.state.kind === 'ready', 'a session with it');
  });

  it('on a node proves it with the token that the file holds now, at each start and when it is refused, and keeps nothing on disk', async () => {
    let welcome = true;
    const fake = await server({
      onMessage(seen, message, normally) {
        if (welcome || message.kind?.$case !== 'hello') return normally();
        welcome = true;
        const value = { code: DisconnectCode.DISCONNECT_CODE_CERTIFICATE_EXPIRED, message: '', retryAfterMs: 0 };
        send(seen, { kind: { $case: 'disconnect', value } });
      },
    });
    const kubernetesTokenFile = join(dir, 'token');
    const flags = { joinToken: undefined, kubernetesTokenFile };
    const tokens = () =>
      fake.enrolls.map(({ credential }) => credential?.$case === 'kubernetesToken' && credential.value);
    await writeFile(kubernetesTokenFile, 'one\n');
    const first = await agent(fake, flags);
    expect(first.identity.agentId).toBe('agent-1');
    expect(await readdir(join(dir, 'agent'))).not.toContain('identity');
    await first.stop('restart');
    await writeFile(kubernetesTokenFile, 'two');
    welcome = false;
    const second = await agent(fake, flags);
    await until(() => second.state.kind === 'ready', 'a session');
    expect(tokens()).toEqual(['one', 'two', 'two']);
  });

  it('on a node trusts the authority that its file holds now', async () => {
    const fake = await server();
    const caFile = join(dir, 'ca.pem');
    await writeFile(caFile, authority.caPem);
    const kubernetesTokenFile = join(dir, 'token');
    await writeFile(kubernetesTokenFile, 'one');
    const running = await agent(fake, { joinToken: undefined, caHash: undefined, caFile, kubernetesTokenFile });
    await until(() => running.state.kind === 'ready', 'a session');
    const next = await testAuthority();
    await writeFile(caFile, next.caPem);
    await fake.stop();
    const moved = await startFakeServer({ identity: await next.serverIdentity(), port: fake.port });
    cleanups.push(() => moved.stop());
    await until(() => moved.streams.length > 0, 'a session with the server of the new authority');
  });

  it('can be stopped while it waits for a server to enrol at', async () => {
    const abort = new AbortController();
    const config = await loadConfig({
      flags: { servers: ['127.0.0.1:1'], dataDir: join(dir, 'lonely'), caHash: authority.caHash, joinToken: 't' },
    });
    const starting = startAgent(config, { log: silentLog, signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(starting).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });
});
