import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { SourceFault } from '../read/loop.ts';

/** As much of Kubernetes' API as is needed to list and watch events. A client library is 86 MB in memory. */

export interface KubernetesConfig {
  readonly host: string;
  readonly port: number;
  /** With `token` and `ca.crt`; default /var/run/secrets/kubernetes.io/serviceaccount */
  readonly accountDirectory?: string;
}

export const ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether this pod was given one. */
export function hasServiceAccount(directory = ACCOUNT_DIRECTORY): boolean {
  return existsSync(join(directory, 'token'));
}

/** The server answered, and refused. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const ANSWER_WITHIN_MS = 30_000;
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface Get {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** @returns the answer's body, still to be read. @throws Refused, SourceFault, the network's errors */
export async function open(config: KubernetesConfig, { path, query, signal }: Get): Promise<IncomingMessage> {
  // Only agents in a cluster load it.
  const { request } = await import('node:https');
  // Read each time: the token is replaced every hour or so.
  const { token, ca } = await readAccount(config.accountDirectory ?? ACCOUNT_DIRECTORY);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const { host, port } = config;
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
    const asked = request(
      { host, port, path: `${path}?${new URLSearchParams(query)}`, headers, ca, signal, agent: false },
      resolve,
    );
    asked.setTimeout(ANSWER_WITHIN_MS, () => asked.destroy(new Error(`no answer within ${ANSWER_WITHIN_MS / 1000} s`)));
    asked.once('error', reject);
    asked.end();
  });
  if (answer.statusCode === 200) return answer;
  const message = messageOf(await readBody(answer).catch(() => '')) ?? answer.statusMessage ?? '';
  throw new Refused(answer.statusCode ?? 0, `${answer.statusCode} ${message}`);
}

export async function readBody(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES / 1024} KiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Of a Status. */
function messageOf(body: string): string | undefined {
  try {
    const status: unknown = JSON.parse(body);
    const message = typeof status === 'object' && status !== null && 'message' in status ? status.message : undefined;
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

async function readAccount(directory: string): Promise<{ token: string; ca: string }> {
  try {
    const [token, ca] = await Promise.all(['token', 'ca.crt'].map((name) => readFile(join(directory, name), 'utf8')));
    return { token: (token ?? '').trim(), ca: ca ?? '' };
  } catch (cause) {
    throw new SourceFault(`${directory}: the pod’s service account is not there; let the pod mount its token`, {
      cause,
    });
  }
}
