import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { selfSigned } from './certificates.ts';
import { canMount } from './disk.ts';
import { stablePort } from './ports.ts';

type Labels = Readonly<Record<string, string>>;

/** As much of the API of Kubernetes as a server asks for: it reviews tokens, and lists and watches nodes. */
export interface TestCluster {
  /** For a server that is to run in it. */
  readonly server: {
    readonly enter: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly flags: readonly string[];
  };
  /** Makes it, or gives it other labels; who watches hears of it. */
  label(node: string, labels: Labels): void;
  /** @returns the file with the token of the pod of an agent on that node */
  token(node: string): Promise<string>;
}

/** The account of a pod is at a fixed place: a server that has one takes a file system of its own. */
export const canPlayCluster = canMount;

const ACCOUNT = 'openline:openline-agent';
const EXTRA = 'authentication.kubernetes.io/';
const MOUNT = `mount -t tmpfs account /var/run && mkdir -p /var/run/secrets/kubernetes.io &&
  cp -r "$0" /var/run/secrets/kubernetes.io/serviceaccount && exec "$@"`;

/** @param dir a scratch directory; it ends with the process of the test */
export async function startCluster(dir: string): Promise<TestCluster> {
  const { key, cert } = await selfSigned('127.0.0.1');
  const account = join(dir, 'account');
  await mkdir(account);
  await writeFile(join(account, 'ca.crt'), cert);
  await writeFile(join(account, 'token'), 'the server');
  await writeFile(join(account, 'namespace'), 'openline');

  const nodes = new Map<string, object>();
  const watchers = new Set<ServerResponse>();
  let version = 1;

  function review(body: string): object {
    const { token, audiences } = JSON.parse(body).spec;
    const { node } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
    const extra = { [`${EXTRA}node-name`]: [node], [`${EXTRA}node-uid`]: [`uid-${node}`] };
    const user = { username: `system:serviceaccount:${ACCOUNT}`, extra };
    return { status: { authenticated: nodes.has(node), audiences, user } };
  }

  const api = createServer({ key, cert }, async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'https://127.0.0.1');
    const answer = (body: object) => response.end(JSON.stringify(body));
    if (pathname === '/apis/authentication.k8s.io/v1/tokenreviews') {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      answer(review(body));
    } else if (pathname !== '/api/v1/nodes') response.writeHead(404).end('{}');
    else if (searchParams.get('watch') === 'true') {
      watchers.add(response);
      // What changed since they were listed is among them.
      for (const object of nodes.values()) tell(response, 'MODIFIED', object);
      response.on('close', () => watchers.delete(response));
    } else answer({ metadata: { resourceVersion: String(version) }, items: [...nodes.values()] });
  });
  const port = await stablePort();
  api.listen(port, '127.0.0.1').unref();
  await once(api, 'listening');

  return {
    server: {
      enter: ['unshare', '--mount', 'sh', '-c', MOUNT, account],
      env: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) },
      flags: [`--kubernetes-agents=${ACCOUNT}`],
    },
    label(name, labels) {
      version += 1;
      const type = nodes.has(name) ? 'MODIFIED' : 'ADDED';
      const object = { metadata: { name, uid: `uid-${name}`, resourceVersion: String(version), labels } };
      nodes.set(name, object);
      for (const watcher of watchers) tell(watcher, type, object);
    },
    async token(node) {
      const file = join(dir, `token-of-${node}`);
      await writeFile(file, tokenOf(node));
      return file;
    },
  };
}

function tell(watcher: ServerResponse, type: 'ADDED' | 'MODIFIED', object: object): void {
  watcher.write(`${JSON.stringify({ type, object })}\n`);
}

/** A JWT that names no issuer, so that the server asks its own cluster. */
function tokenOf(node: string): string {
  return [{}, { node }, {}].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
}
