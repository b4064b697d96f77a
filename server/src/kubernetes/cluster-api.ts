import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';

/**
 * The API of the cluster that this process runs in, as its service account sees it. The few calls that Openline makes do not need the client
 * library, which takes 86 MB of memory (ADR 0014).
 */
export interface ClusterApi {
  /** @throws ApiRefused, Error when it cannot be reached */
  get(path: string): Promise<unknown>;
  /** One page: metadata only. @throws ApiRefused, Error when it cannot be reached */
  list(path: string, query: Query): Promise<unknown>;
  /** @throws ApiRefused, Error when it cannot be reached */
  post(path: string, body: unknown): Promise<unknown>;
  /** Merges into an object that is there. @throws ApiRefused, Error when it cannot be reached */
  patch(path: string, body: unknown): Promise<unknown>;
  /**
   * Makes an object, or sees to it that it has what `body` says; what else it has stays. Unlike with a `post`, its name is known when the API decides: the
   * right to `create` can be limited to that name.
   * @throws ApiRefused, Error when it cannot be reached
   */
  apply(path: string, body: unknown): Promise<unknown>;
  /** Of this pod. */
  readonly namespace: string;
  /**
   * What changes, metadata only, until the server ends it.
   * @throws ApiRefused, Error when it cannot be reached or breaks
   */
  watch(path: string, query: Query, signal: AbortSignal): AsyncGenerator<unknown>;
}

export type Query = Readonly<Record<string, string>>;

/** The API answered, and refused. */
export class ApiRefused extends Error {
  override readonly name = 'ApiRefused';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface ClusterApiConfig {
  readonly timeoutMs: number;
  /** Where the service account is mounted. */
  readonly account?: string;
}

interface Call {
  readonly method?: string;
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** Of objects only what every kind has: a node's status is long. A watch that asks for the form of lists gets no word. */
const METADATA_OF_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const METADATA_OF_ONE = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/** @returns undefined: this process does not run in a cluster, or has no account there */
export function openClusterApi(
  env: Readonly<Record<string, string | undefined>>,
  { timeoutMs, account = ACCOUNT }: ClusterApiConfig,
): ClusterApi | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) return undefined;
  let namespace: string;
  try {
    readFileSync(`${account}/token`);
    namespace = readFileSync(`${account}/namespace`, 'utf8').trim();
  } catch {
    return undefined;
  }

  /** @returns the answer, still to be read */
  async function open(
    { method = 'GET', path, query = {}, body, contentType = 'application/json', accept = 'application/json' }: Call,
    signal: AbortSignal,
  ) {
    // Both are replaced while we run.
    const ca = readFileSync(`${account}/ca.crt`);
    const token = readFileSync(`${account}/token`, 'utf8').trim();
    const content = body === undefined ? undefined : JSON.stringify(body);
    const search = new URLSearchParams(query).toString();
    const headers = {
      authorization: `Bearer ${token}`,
      accept,
      ...(content === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(content) }),
    };
    const options = { host, port, method, path: search === '' ? path : `${path}?${search}`, ca, headers, signal };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({ ...options, agent: false }, resolve);
      call.on('error', reject);
      call.end(content);
    });
    const { statusCode = 0 } = answer;
    if (statusCode < 300) return answer;
    throw new ApiRefused(statusCode, messageOf(await readAll(answer).catch(() => '')) || `it answered ${statusCode}`);
  }

  const whole = async (call: Call): Promise<unknown> =>
    JSON.parse(await readAll(await open(call, AbortSignal.timeout(timeoutMs))));

  return {
    get: (path) => whole({ path }),
    list: (path, query) => whole({ path, query, accept: METADATA_OF_LIST }),
    post: (path, body) => whole({ method: 'POST', path, body }),
    patch: (path, body) => whole({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }),
    apply: (path, body) =>
      whole({
        method: 'PATCH',
        path,
        query: { fieldManager: 'openline', force: 'true' },
        body,
        // JSON is YAML, too; the API takes it under no other name.
        contentType: 'application/apply-patch+yaml',
      }),
    namespace,
    async *watch(path, query, signal) {
      const answer = await open({ path, query: { ...query, watch: 'true' }, accept: METADATA_OF_ONE }, signal);
      let rest = '';
      for await (const chunk of answer.setEncoding('utf8')) {
        const lines = (rest + String(chunk)).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > MAX_LINE_BYTES) throw new Error('a line of the watch is too long');
        for (const line of lines) if (line !== '') yield JSON.parse(line);
      }
    },
  };
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A Status object says why. */
function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body);
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
