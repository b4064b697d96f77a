import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { selfSigned } from '../api/testing.ts';
import { openClusterApi } from '../kubernetes/cluster-api.ts';
import { kubernetesNodes } from './kubernetes-nodes.ts';
import { createProber, type Target } from './probes.ts';

function listening(server: Server): Promise<number> {
  onTestFinished(() => void server.close());
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

const target = (remoteAddress: string, over: Partial<Target> = {}): Target => ({
  remoteAddress,
  shared: false,
  node: undefined,
  ...over,
});

describe('looking at the node of a lost line', () => {
  const prober = createProber(undefined, { timeoutMs: 1_000 });
  it('finds it there when its kernel refuses, or takes, a connection', async () => {
    const server = createServer();
    const port = await listening(server);
    expect(await prober.look(target(`127.0.0.1:${port}`))).toMatchObject({ tcp: 'accepted', node: 'skipped' });
    await new Promise((resolve) => server.close(resolve));
    const { tcp, notes } = await prober.look(target(`127.0.0.1:${port}`));
    expect(tcp).toBe('refused');
    expect(notes).toContain(`TCP to 127.0.0.1:${port}: refused, so the node is there`);
  });
  it('says what it did not look at, and why', async () => {
    const evidence = await prober.look(target('somewhere'));
    expect(evidence).toMatchObject({ tcp: 'skipped', icmp: 'skipped', node: 'skipped' });
    expect(evidence.notes).toEqual(['its address «somewhere» cannot be read, so nothing was asked there']);
  });
  it('asks the cluster, where there is one, and says that an address is shared', async () => {
    const nodes = { read: async (name: string) => ({ state: 'not-ready' as const, note: `${name} is not ready` }) };
    const evidence = await createProber(nodes, { timeoutMs: 1_000 }).look(
      target('127.0.0.1:1', { shared: true, node: 'n1' }),
    );
    expect(evidence).toMatchObject({ node: 'not-ready', shared: true });
    expect(evidence.notes).toContain('Kubernetes: n1 is not ready');
    expect(evidence.notes[0]).toContain('a gateway may answer');
  });
});

describe('the nodes of the cluster', () => {
  async function cluster(answer: { status?: number; body: string } | undefined) {
    const tls = await selfSigned('localhost');
    const asked: (string | undefined)[] = [];
    const server = createHttps({ cert: tls.certificatePem, key: tls.keyPem }, (request, response) => {
      asked.push(request.url, request.headers.authorization);
      if (answer !== undefined) response.writeHead(answer.status ?? 200).end(answer.body);
    });
    const port = await listening(server);
    const account = mkdtempSync(join(tmpdir(), 'openline-test-'));
    onTestFinished(() => rmSync(account, { recursive: true }));
    writeFileSync(join(account, 'ca.crt'), tls.certificatePem);
    writeFileSync(join(account, 'token'), 'secret\n');
    writeFileSync(join(account, 'namespace'), 'openline');
    const env = { KUBERNETES_SERVICE_HOST: 'localhost', KUBERNETES_SERVICE_PORT: String(port) };
    return {
      nodes: kubernetesNodes(openClusterApi(env, { account, timeoutMs: 1_000 })) ?? expect.fail(),
      asked,
      account,
    };
  }
  const node = (status: string) =>
    JSON.stringify({
      status: {
        conditions: [
          { type: 'DiskPressure', status: 'False' },
          { type: 'Ready', status },
        ],
      },
    });

  it.each([
    ['True', 'ready', 'node n/1 is ready'],
    ['False', 'not-ready', 'node n/1 is not ready (False)'],
    ['Unknown', 'not-ready', 'node n/1 is not ready (Unknown)'],
  ])('Ready=%s is %s', async (status, state, note) => {
    const { nodes, asked } = await cluster({ body: node(status) });
    expect(await nodes.read('n/1')).toEqual({ state, note });
    expect(asked).toEqual(['/api/v1/nodes/n%2F1', 'Bearer secret']);
  });
  it('that are gone are absent', async () => {
    const { nodes } = await cluster({ status: 404, body: '{}' });
    expect(await nodes.read('n')).toEqual({ state: 'absent', note: 'there is no node n any more' });
  });
  it.each([
    ['refuses', { status: 403, body: 'no' }, 'the API answered 403'],
    ['talks nonsense', { body: '<html>' }, 'the API could not be asked'],
    ['has no conditions', { body: 'null' }, 'node n has no Ready condition'],
    ['is silent', undefined, 'the API could not be asked'],
  ])('are skipped when the API %s', async (_what, answer, note) => {
    const { nodes } = await cluster(answer);
    const read = await nodes.read('n');
    expect(read.state).toBe('skipped');
    expect(read.note).toContain(note);
  });
  it('are nobody’s outside of a cluster', () => {
    expect(openClusterApi({}, { timeoutMs: 1 })).toBeUndefined();
    expect(kubernetesNodes(undefined)).toBeUndefined();
    expect(
      openClusterApi({ KUBERNETES_SERVICE_HOST: '127.0.0.1' }, { timeoutMs: 1, account: '/nowhere' }),
    ).toBeUndefined();
  });
});
