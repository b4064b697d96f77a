import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ApiRefused, type ClusterApi } from '../../kubernetes/cluster-api.ts';
import { createNodeAttestor } from './attestor.ts';
import { createIssuerAttestor } from './issuer-keys.ts';
import { agentIdOfNode } from './node-identity.ts';
import { createTokenReviewer } from './token-review.ts';

const ACCOUNT = 'openline:openline-agent';
const EXTRA = {
  'authentication.kubernetes.io/node-name': ['worker-1'],
  'authentication.kubernetes.io/node-uid': ['u-1'],
  'authentication.kubernetes.io/pod-name': ['agent-x'],
};
const ACCEPTED = {
  authenticated: true,
  audiences: ['openline'],
  user: { username: 'system:serviceaccount:openline:openline-agent', extra: EXTRA },
};

function reviewer(answer: unknown, reviewing: () => Promise<void> = async () => {}) {
  const asked: unknown[] = [];
  const nobody = () => Promise.reject(new Error('nobody asks this'));
  const api: ClusterApi = {
    get: nobody,
    list: nobody,
    patch: nobody,
    apply: nobody,
    namespace: 'openline',
    // biome-ignore lint/correctness/useYield: it is never watched
    async *watch() {
      throw new Error('nobody watches');
    },
    async post(path, body) {
      asked.push(path, body);
      await reviewing();
      if (answer instanceof Error) throw answer;
      return { kind: 'TokenReview', status: answer };
    },
  };
  const config = { cluster: 'local', audience: 'openline', accounts: [ACCOUNT] };
  return { attestor: createTokenReviewer(api, config), asked };
}

describe('a token that the cluster reviews', () => {
  it('proves the node of its pod, and is shown with the audience that it must have', async () => {
    const { attestor, asked } = reviewer(ACCEPTED);
    expect(await attestor.attest('t')).toEqual({
      cluster: 'local',
      nodeName: 'worker-1',
      nodeUid: 'u-1',
      account: ACCOUNT,
      pod: 'agent-x',
    });
    expect(asked).toEqual([
      '/apis/authentication.k8s.io/v1/tokenreviews',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token: 't', audiences: ['openline'] },
      },
    ]);
  });

  it.each([
    ['that it does not accept', { authenticated: false, error: 'expired' }, /does not accept the token: expired/],
    ['made for somebody else', { ...ACCEPTED, audiences: ['vault'] }, /not for the audience «openline»/],
    ['of an API that knows no audiences', { ...ACCEPTED, audiences: undefined }, /not for the audience/],
    ['of a person', { ...ACCEPTED, user: { username: 'alice', extra: EXTRA } }, /not that of a service account/],
    [
      'of another account',
      { ...ACCEPTED, user: { username: 'system:serviceaccount:default:default', extra: EXTRA } },
      /default:default of the cluster «local» may not enrol/,
    ],
    ['of no pod', { ...ACCEPTED, user: { ...ACCEPTED.user, extra: {} } }, /names no node/],
  ])('is none %s', async (_what, answer, why) => {
    await expect(reviewer(answer).attestor.attest('t')).rejects.toMatchObject({
      code: 'NODE_NOT_ATTESTED',
      message: expect.stringMatching(why),
    });
  });

  it.each([new ApiRefused(403, 'tokenreviews is forbidden'), new Error('ECONNREFUSED')])(
    'may be shown again when the API could not be asked: %s',
    async (error) => {
      await expect(reviewer(error).attestor.attest('t')).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' });
    },
  );
});

it('however many show a token, the cluster is asked about a few at a time; who is too many is told to come again', async () => {
  const turns: (() => void)[] = [];
  const { attestor, asked } = reviewer(ACCEPTED, () => new Promise((resolve) => turns.push(resolve)));
  const shown = Array.from({ length: 2_017 }, () => attestor.attest('t'));
  await expect(shown.at(-1)).rejects.toMatchObject({ code: 'SERVER_BUSY' });
  expect(turns).toHaveLength(16);
  let atOnce = 16;
  const all = Promise.all(shown.slice(0, -1));
  while (turns.length > 0) {
    atOnce = Math.max(atOnce, turns.length);
    turns.shift()?.();
    await turn();
  }
  expect(await all).toHaveLength(2_016);
  expect([asked.length, atOnce]).toEqual([2 * 2_016, 16]);
});

const ISSUER = 'https://issuer.example';

async function remoteCluster() {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const directory = mkdtempSync(join(tmpdir(), 'openline-jwks-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const jwksFile = join(directory, 'jwks.json');
  writeFileSync(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] }));
  const claims = {
    'kubernetes.io': {
      namespace: 'openline',
      serviceaccount: { name: 'openline-agent', uid: 's' },
      pod: { name: 'agent-y', uid: 'p' },
      node: { name: 'worker-9', uid: 'u-9' },
    },
  };
  const sign = (more: JWTPayload = {}, key = privateKey, audience = 'openline', expires = '10m') =>
    new SignJWT({ ...claims, ...more })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(ISSUER)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key);
  const attestor = createIssuerAttestor({
    name: 'edge',
    issuer: ISSUER,
    audience: 'openline',
    accounts: [ACCOUNT],
    jwksFile,
  });
  return { attestor, sign };
}

describe('a token of another cluster', () => {
  it('proves the node by the keys of its issuer', async () => {
    const { attestor, sign } = await remoteCluster();
    expect(await attestor.attest(await sign())).toEqual({
      cluster: 'edge',
      nodeName: 'worker-9',
      nodeUid: 'u-9',
      account: ACCOUNT,
      pod: 'agent-y',
    });
  });

  it('is none with another key, for another audience, after its time, of another account, or without a node', async () => {
    const { attestor, sign } = await remoteCluster();
    const stranger = await generateKeyPair('ES256');
    const kubernetes = { namespace: 'openline', serviceaccount: { name: 'openline-agent' } };
    const tokens = [
      await sign({}, stranger.privateKey),
      await sign({}, undefined, 'vault'),
      await sign({}, undefined, undefined, '-10m'),
      await sign({
        'kubernetes.io': { ...kubernetes, serviceaccount: { name: 'default' }, node: { name: 'n', uid: 'u' } },
      }),
      await sign({ 'kubernetes.io': kubernetes }),
      await sign({ 'kubernetes.io': undefined }),
    ];
    for (const token of tokens)
      await expect(attestor.attest(token)).rejects.toMatchObject({ code: 'NODE_NOT_ATTESTED' });
  });

  it('is checked by its own issuer’s keys, and every other one by the cluster around the server', async () => {
    const { attestor: edge, sign } = await remoteCluster();
    const { attestor: own } = reviewer(ACCEPTED);
    const both = createNodeAttestor(own, new Map([[ISSUER, edge]]));
    expect((await both.attest(await sign())).cluster).toBe('edge');
    const { privateKey } = await generateKeyPair('ES256');
    const ours = await new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).setIssuer('https://k').sign(privateKey);
    expect((await both.attest(ours)).cluster).toBe('local');
    await expect(both.attest('no token')).rejects.toThrow(/no service-account token/);
    const alone = createNodeAttestor(undefined, new Map([[ISSUER, edge]]));
    await expect(alone.attest(ours)).rejects.toThrow(/takes no agents of that cluster/);
  });
});

describe('the identity of a node', () => {
  it('is a UUID that follows its UID, and not its name', () => {
    expect(agentIdOfNode('local', 'u-1')).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(agentIdOfNode('local', 'u-1')).toBe(agentIdOfNode('local', 'u-1'));
    expect(agentIdOfNode('local', 'u-2')).not.toBe(agentIdOfNode('local', 'u-1'));
    expect(agentIdOfNode('edge', 'u-1')).not.toBe(agentIdOfNode('local', 'u-1'));
  });
});
