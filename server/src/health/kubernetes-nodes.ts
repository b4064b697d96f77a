import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { z } from 'zod';
import type { NodeReader } from './probes.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface KubernetesConfig {
  readonly timeoutMs: number;
  /** Where the service account is mounted. */
  readonly account?: string;
}

/**
 * The Ready condition of nodes, by the API of the cluster that this process runs in and its service account (which needs `get` on `nodes`).
 * One small request, so that the whole client library is not kept in memory for it.
 * @returns undefined: it does not run in a cluster, or has no account
 */
export function kubernetesNodes(
  env: Readonly<Record<string, string | undefined>>,
  { timeoutMs, account = ACCOUNT }: KubernetesConfig,
): NodeReader | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined || host === '') return undefined;
  try {
    readFileSync(`${account}/token`);
  } catch {
    return undefined;
  }
  return {
    async read(name) {
      try {
        // Both are replaced while we run.
        const ca = readFileSync(`${account}/ca.crt`);
        const token = readFileSync(`${account}/token`, 'utf8').trim();
        const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
        const { status, body } = await get({ host, port: Number(port), path, ca, token, timeoutMs });
        if (status === 404) return { state: 'absent', note: `there is no node ${name} any more` };
        if (status !== 200) return { state: 'skipped', note: `the API answered ${status}` };
        const ready = readyOf(JSON.parse(body));
        if (ready === undefined) return { state: 'skipped', note: `node ${name} has no Ready condition` };
        return ready === 'True'
          ? { state: 'ready', note: `node ${name} is ready` }
          : { state: 'not-ready', note: `node ${name} is not ready (${ready})` };
      } catch (error) {
        return {
          state: 'skipped',
          note: `the API could not be asked (${error instanceof Error ? error.message : 'unknown'})`,
        };
      }
    },
  };
}

const Node = z.object({
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })) }),
});

/** @returns "True", "False" or "Unknown" */
function readyOf(node: unknown): string | undefined {
  const parsed = Node.safeParse(node);
  return parsed.data?.status.conditions.find(({ type }) => type === 'Ready')?.status;
}

function get(to: {
  host: string;
  port: number;
  path: string;
  ca: Buffer;
  token: string;
  timeoutMs: number;
}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: to.host,
        port: to.port,
        path: to.path,
        ca: to.ca,
        headers: { authorization: `Bearer ${to.token}`, accept: 'application/json' },
        signal: AbortSignal.timeout(to.timeoutMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) call.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
        response.on('error', reject);
      },
    );
    call.on('error', reject);
    call.end();
  });
}
