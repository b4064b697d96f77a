import { X509Certificate } from 'node:crypto';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority, type TestAuthority } from '../../server/src/enrollment/testing/authorities.ts';
import { readIdentity } from '../harness/certificates.ts';
import {
  cleanup,
  connectionsTo,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  runCli,
  scratchDir,
  startAgent,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

interface Status {
  readonly hash: string;
  readonly overlap: { readonly behindCount: number; readonly behind: readonly { agent: string }[] } | null;
}

async function openline(server: TestServer, ...args: string[]) {
  const { code, stdout, stderr } = await runCli(server, args);
  return { code, stdout: stdout.toString(), stderr };
}
const status = async (server: TestServer): Promise<Status> =>
  JSON.parse((await openline(server, 'ca', 'status', '-o', 'json')).stdout);
const nobodyBehind = (server: TestServer, but: readonly string[] = []) =>
  eventually(
    async () => {
      const { overlap } = await status(server);
      return overlap?.behind.every(({ agent }) => but.includes(agent)) === true;
    },
    { what: 'all agents to hold the new authority', timeoutMs: 40_000 },
  );
const socketOf = async (agent: TestAgent, server: TestServer) => {
  const [socket, ...more] = await connectionsTo(agent.process.pid, server.agentPort);
  expect(more).toEqual([]);
  return socket?.localPort;
};
/** Who signed what the server shows on a port. */
const shown = (port: number) =>
  new Promise<X509Certificate>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate === undefined) reject(new Error('no certificate'));
      else resolve(certificate);
    });
    socket.on('error', reject);
  });

describe('an authority that the server made', () => {
  let server: TestServer;
  let agents: TestAgent[];
  let away: TestAgent;
  let markers: Awaited<ReturnType<typeof markerDir>>;

  beforeAll(async () => {
    const dir = scratchDir('authority');
    markers = await markerDir(dir);
    server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=10s'] });
    await pushPacks(server);
    agents = await Promise.all(['one', 'two'].map((name) => startAgent({ dir, server, name })));
    away = await startAgent({ dir, server, name: 'away' });
    await packsHeld(server);
    await away.stop();
  });
  afterAll(cleanup);

  it('is replaced while a run is under way: the run ends well, over the same connections', {
    timeout: 120_000,
  }, async () => {
    const oldJoin = { token: await server.operator.joinToken(), caHash: server.caHash };
    const before = await Promise.all(agents.map((agent) => socketOf(agent, server)));
    const oldServer = (await shown(server.agentPort)).fingerprint256;
    const run = await server.operator.submit('test/marker', {
      targets: 'name in (one,two)',
      parameters: { dir: markers.dir, ms: 8_000 },
    });
    const { hash: old } = await status(server);

    const rotated = await openline(server, 'ca', 'rotate');
    expect(rotated.code).toBe(0);
    expect(rotated.stdout).toContain(old);
    await nobodyBehind(server, ['away']);

    expect((await server.operator.ended(run.id)).run?.counts).toMatchObject([{ count: 2 }]);
    expect(await Promise.all(agents.map((agent) => socketOf(agent, server)))).toEqual(before);
    expect((await shown(server.agentPort)).fingerprint256).toBe(oldServer);
    for (const agent of agents) {
      const { certificatePem, caPem } = await readIdentity(agent.dataDir);
      expect(caPem.match(/BEGIN/g)).toHaveLength(2);
      const [newest = ''] = caPem.split(/(?<=-----END CERTIFICATE-----\n)/);
      expect(new X509Certificate(certificatePem).verify(new X509Certificate(newest).publicKey)).toBe(true);
    }
    // What was printed before still works.
    const late = await startAgent({
      dir: server.dir,
      server: { ...server, caHash: oldJoin.caHash },
      name: 'late',
      joinToken: oldJoin.token,
    });
    await late.stop();
  });

  it('survives kill -9 of the server in the midst of it; agents come back to either', {
    timeout: 120_000,
  }, async () => {
    const { hash } = await status(server);
    await server.kill9();
    server = await server.restart();
    expect(await status(server)).toMatchObject({ hash, overlap: expect.any(Object) });
    await server.operator.online(agents.length);
    await nobodyBehind(server, ['away']);
  });

  it('is not ended over the head of an agent that is away, but by force', { timeout: 120_000 }, async () => {
    const refused = await openline(server, 'ca', 'end');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('1 agents do not hold the new authority yet');
    const before = await Promise.all(agents.map((agent) => socketOf(agent, server)));
    const bundle = join(server.dir, 'bundle.pem');
    await writeFile(bundle, (await openline(server, 'ca', 'bundle')).stdout);

    expect((await openline(server, 'ca', 'end', '--force')).code).toBe(0);
    const { hash, overlap } = await status(server);
    expect(overlap).toBeNull();
    const [current = ''] = (await openline(server, 'ca', 'bundle')).stdout.split(/(?<=-----END CERTIFICATE-----\n)/);
    for (const port of [server.agentPort, server.operatorPort])
      expect((await shown(port)).verify(new X509Certificate(current).publicKey)).toBe(true);
    expect((await openline(server, '--ca', bundle, 'whoami')).stdout).toContain(hash);
    expect(await Promise.all(agents.map((agent) => socketOf(agent, server)))).toEqual(before);
    await eventually(async () => (await readIdentity(agents[0]?.dataDir ?? '')).caPem === current, {
      what: 'the agents to drop the old authority',
    });
    // kill -9 right after: nothing of the old one comes back.
    await server.kill9();
    server = await server.restart();
    expect(await status(server)).toMatchObject({ hash, overlap: null });
    await server.operator.online(agents.length);
  });

  it('leaves an agent that missed all of it with a clear word, and a new token brings it back', {
    timeout: 120_000,
  }, async () => {
    away = await away.restart({ server, awaitOnline: false });
    await eventually(() => away.process.log().find((line) => line['code'] === 'SERVER_UNTRUSTED'), {
      what: 'the agent to say that it does not know the server',
    });
    await away.stop();
    expect((await openline(server, 'agents', 'revoke', 'away', '--reason', 'joins again')).code).toBe(0);
    const token = await server.operator.joinToken();
    away = await away.restart({
      server,
      awaitOnline: true,
      flags: [`--join-token=${token}`, `--ca-hash=${server.caHash}`, '--name=away'],
    });
  });

  it('that is lost while the database is not is missed: the server says how many agents cannot come back', async () => {
    await server.stop();
    await rm(join(server.dataDir, 'ca', 'authority.json'));
    server = await server.restart();
    expect(server.process.log().find((line) => String(line['msg']).includes('made a new authority'))).toMatchObject({
      agents: agents.length + 2,
    });
  });
});

describe('an authority that is given', () => {
  afterAll(cleanup);

  /** As cert-manager writes them; where there is no root, as its SelfSigned issuer does. */
  async function put({ caPem, keyPem }: TestAuthority, directory: string, root = caPem): Promise<void> {
    await mkdir(directory, { recursive: true });
    const files = { 'tls.crt': caPem, 'tls.key': keyPem, 'ca.crt': root };
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  }

  /** As the kubelet does it: everything at one instant. */
  async function replace(authority: TestAuthority, directory: string, root?: string): Promise<void> {
    await put(authority, `${directory}.new`, root);
    await rename(directory, `${directory}.old`);
    await cp(`${directory}.new`, directory, { recursive: true });
  }

  it('is followed when its files are replaced: agents keep their connection', { timeout: 180_000 }, async () => {
    const dir = scratchDir('given');
    const given = join(dir, 'given');
    // A renewal keeps the name.
    const [first, second] = [await makeAuthority('Ours', Date.now()), await makeAuthority('Ours', Date.now())];
    await put(first, given);
    const server = await startServer({
      dir,
      flags: [`--ca-directory=${given}`, '--heartbeat-interval=1s', '--offline-after=10s', '--ca-overlap=0s'],
    });
    const agent = await startAgent({ dir, server, name: 'one' });
    const before = await socketOf(agent, server);
    const { hash } = await status(server);
    const refused = await openline(server, 'ca', 'rotate');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(given);

    await replace(second, given);
    await eventually(
      async () => {
        const now = await status(server);
        return now.hash !== hash && now.overlap === null;
      },
      { what: 'the new authority to hold alone', timeoutMs: 90_000 },
    );
    expect((await shown(server.agentPort)).verify(new X509Certificate(second.caPem).publicKey)).toBe(true);
    expect(await socketOf(agent, server)).toBe(before);
    expect((await readIdentity(agent.dataDir)).caPem).toBe(second.caPem);
  });

  it('below a root that stays: names that the server gets in the overlap are in its certificate at once', {
    timeout: 120_000,
  }, async () => {
    const dir = scratchDir('given-below');
    const given = join(dir, 'given');
    const root = await makeAuthority('Root', Date.now());
    const [first, second] = [
      await makeAuthority('Ours', Date.now(), { by: root }),
      await makeAuthority('Ours', Date.now(), { by: root }),
    ];
    await put(first, given, root.caPem);
    const start = (...names: string[]) =>
      startServer({ dir, flags: [`--ca-directory=${given}`, ...names.map((name) => `--advertise=${name}`)] });
    const server = await start('localhost', '127.0.0.1');
    const agent = await startAgent({ dir, server, name: 'one' });
    const { hash } = await status(server);
    await replace(second, given, root.caPem);
    await eventually(async () => (await status(server)).hash !== hash, { what: 'the new authority' });
    await server.stop();
    const again = await start('localhost', '127.0.0.1', 'other.example');
    expect((await status(again)).overlap).not.toBeNull();
    const certificate = await shown(again.operatorPort);
    expect(certificate.checkHost('other.example')).toBe('other.example');
    expect(certificate.verify(new X509Certificate(second.caPem).publicKey)).toBe(true);
    await agent.stop();
  });
});
