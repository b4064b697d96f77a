import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { AgentServiceClient, type EnrollResponse } from '@openline/proto/agent';
import { ERROR_CODE_METADATA, type ErrorCode, isErrorCode, OpenlineError } from '@openline/proto/errors';
import { DEFAULT_AGENT_PORT } from '@openline/proto/limits';
import { backoffMs } from '../link/backoff.ts';
import { closedForGood } from '../link/closed-for-good.ts';
import { CHANNEL_OPTIONS, causeOf } from '../link/stream.ts';
import type { Clock } from '../tasks/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { type Credential, shown } from './credential.ts';
import { generateKey, makeRequest } from './csr.ts';
import type { Identity } from './identity.ts';
import type { IdentityStore } from './identity-store.ts';
import { fetchPinnedCa } from './pin.ts';

export interface EnrollConfig {
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly name: string;
  readonly credential: Credential;
  /** "sha256:…" of the CA's public key; or a file with the CA's certificate. One of them is needed. */
  readonly caHash: string | undefined;
  readonly caFile: string | undefined;
}

export interface EnrollDeps {
  store: IdentityStore;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Ends the waiting for a server that does not answer. */
  signal: AbortSignal;
}

const TIMEOUT_MS = 20_000;
const BACKOFF = { baseMs: 1_000, maxMs: 30_000 };
/** Trying again may help; everything else needs a person. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'SERVER_UNREACHABLE',
  'SERVER_BUSY',
  'STORE_UNAVAILABLE',
  'CLUSTER_UNREACHABLE',
]);

/** SHA-256, hexadecimal: by which an agent remembers that it has used a token. */
export function hashJoinToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * Turns a join token, or the proof of a node, into an identity, and stores it. Goes through the servers in their order and again until one answers, as
 * an agent often starts before its server.
 * @throws OpenlineError SERVER_UNTRUSTED, JOIN_TOKEN_INVALID, NODE_NOT_ATTESTED, AGENT_REVOKED, NAME_TAKEN, REQUEST_INVALID, CONFIG_INVALID, DATA_DIR_UNUSABLE
 */
export async function enroll(deps: EnrollDeps, config: EnrollConfig): Promise<Identity> {
  if (!config.caHash && !config.caFile) {
    throw new OpenlineError(
      'CONFIG_INVALID',
      'caHash: is needed to enrol, so that the token is shown to nobody but your server. ' +
        'Take --ca-hash from the output of `openline tokens create --join`, or give the CA’s certificate with --ca FILE.',
    );
  }
  for (let attempt = 0; ; attempt++) {
    const { host, port } = config.servers[attempt % config.servers.length] ?? { host: '', port: 0 };
    try {
      return await enrollAt(deps, config, host, port);
    } catch (error) {
      if (!(error instanceof OpenlineError) || !TRANSIENT.has(error.code) || deps.signal.aborted) throw error;
      const inMs = backoffMs(Math.floor(attempt / config.servers.length), deps.random, BACKOFF);
      deps.log.warn({ code: error.code, why: error.message, retryInMs: Math.round(inMs) }, 'could not enrol yet');
      await sleep(deps, inMs);
      if (deps.signal.aborted) throw error;
    }
  }
}

async function enrollAt(deps: EnrollDeps, config: EnrollConfig, host: string, port: number): Promise<Identity> {
  const pinnedCaPem = config.caHash
    ? await fetchPinnedCa(host, port, config.caHash)
    : await readCa(config.caFile ?? '');
  const keyPem = await deps.store.pendingKey(generateKey);
  const csrDer = makeRequest(keyPem);
  const client = new AgentServiceClient(
    hostPort(host, port),
    closedForGood(credentials.createSsl(Buffer.from(pinnedCaPem))),
    CHANNEL_OPTIONS,
  );
  try {
    const request = { credential: shown(config.credential), csrDer, name: config.name };
    const response = await new Promise<EnrollResponse>((resolve, reject) => {
      client.enroll(request, new Metadata(), { deadline: Date.now() + TIMEOUT_MS }, (error, value) =>
        error ? reject(readable(error, hostPort(host, port))) : resolve(value),
      );
    });
    const identity: Identity = {
      agentId: response.agentId,
      agentName: response.agentName,
      keyPem,
      certificatePem: response.certificatePem,
      caPem: response.caPem,
      trustedPackKeys: response.trustedPackKeys,
      joinTokenHash: config.credential.kind === 'join' ? hashJoinToken(config.credential.token) : '',
    };
    await deps.store.save(identity);
    deps.log.info({ agent: identity.agentName, agentId: identity.agentId, server: hostPort(host, port) }, 'enrolled');
    return identity;
  } finally {
    client.close();
  }
}

function readable(error: ServiceError, server: string): OpenlineError {
  const named = error.metadata.get(ERROR_CODE_METADATA).map(String)[0] ?? '';
  if (isErrorCode(named)) return new OpenlineError(named, `${server}: ${error.details}`, { cause: error });
  if (causeOf(error.code, error.details, '') === 'untrusted') {
    return new OpenlineError('SERVER_UNTRUSTED', `${server}: ${error.details}; nothing was sent to it`, {
      cause: error,
    });
  }
  if (error.code === status.UNIMPLEMENTED) {
    const problem = `server: ${server} is not the port for agents, which is ${DEFAULT_AGENT_PORT} unless configured otherwise`;
    return new OpenlineError('CONFIG_INVALID', problem, { cause: error });
  }
  const transient = error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED;
  return new OpenlineError(transient ? 'SERVER_UNREACHABLE' : 'REQUEST_INVALID', `${server}: ${error.details}`, {
    cause: error,
  });
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new OpenlineError('CONFIG_INVALID', `caFile: cannot be read (${reason})`, { cause });
  }
}

/** An IPv6 address needs brackets before its port. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function sleep({ clock, signal }: EnrollDeps, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    signal.addEventListener(
      'abort',
      () => {
        timer.cancel();
        resolve();
      },
      { once: true },
    );
  });
}
