import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { credentials, Metadata } from '@grpc/grpc-js';
import { AlertServiceClient, EventServiceClient } from '@openline/proto/alerts';
import { OpenlineError } from '@openline/proto/errors';
import { AccessServiceClient, FleetServiceClient, PackServiceClient, RunServiceClient } from '@openline/proto/operator';
import * as x509 from '@peculiar/x509';
import type { Principal, Role } from '../access/access.ts';
import type { AuditEntry } from '../audit/audit.ts';
import { systemClock } from '../clock.ts';
import type { RunView } from '../runs/run-service.ts';
import { type OperatorApi, type OperatorApiDeps, startOperatorApi } from './operator-api.ts';
import type { TlsIdentity } from './tls.ts';

/** For tests of the operator port: domain services that say what they were asked, behind the real port with real TLS. */

x509.cryptoProvider.set(webcrypto);

export async function selfSigned(commonName: string): Promise<TlsIdentity> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    certificatePem: certificate.toString('pem'),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

/** The token of a role is the name of the role. */
const PRINCIPALS: ReadonlyMap<string, Principal> = new Map(
  (['viewer', 'operator', 'admin'] satisfies Role[]).map((role) => [role, { id: `id-of-${role}`, name: role, role }]),
);

export const A_RUN: RunView = {
  id: 'run-1',
  spec: {
    task: 'utility/ping',
    targets: 'all',
    parameters: {},
    timeoutMs: undefined,
    ttlMs: undefined,
    offline: 'fail',
  },
  parametersJson: '{}',
  packName: 'utility',
  packVersion: '1.0.0',
  taskName: 'ping',
  timeoutMs: 5_000,
  ttlMs: 60_000,
  requestedBy: 'operator',
  createdAt: new Date(1_000),
  expiresAt: new Date(61_000),
  endedAt: undefined,
  cancelledBy: '',
  retryOf: undefined,
  targetCount: 2,
  counts: new Map([
    ['sent', 2],
    ['failed', 0],
  ]),
};

/** Answers every call of a service that the test did not write; reaching it is what some tests look for. */
const reached = () => {
  throw new OpenlineError('RUN_UNKNOWN', 'the call reached the service');
};
/** The cast is the point of a stub: what is not there is `reached`. */
function stub<Service extends object>(known: Partial<Service>): Service {
  return new Proxy(known as Service, { get: (target, name) => Reflect.get(target, name) ?? reached });
}

export interface Fakes {
  readonly runs?: Partial<OperatorApiDeps['runs']>;
  readonly agents?: Partial<OperatorApiDeps['agents']>;
  readonly packs?: Partial<OperatorApiDeps['packs']>;
  readonly access?: Partial<OperatorApiDeps['access']>;
  readonly audit?: Partial<OperatorApiDeps['audit']>;
  readonly alerts?: Partial<OperatorApiDeps['alerts']>;
  readonly eventReader?: Partial<OperatorApiDeps['eventReader']>;
  readonly tracer?: Partial<OperatorApiDeps['tracer']>;
  readonly declared?: Partial<OperatorApiDeps['declared']>;
  readonly notifications?: Partial<OperatorApiDeps['notifications']>;
  readonly authority?: Partial<OperatorApiDeps['authority']>;
  readonly health?: Partial<OperatorApiDeps['health']>;
  readonly maintenance?: Partial<OperatorApiDeps['maintenance']>;
}

export interface TestApi {
  readonly api: OperatorApi;
  readonly tls: TlsIdentity;
  readonly audited: AuditEntry[];
  readonly observed: { method: string; code: string }[];
  readonly logged: Record<string, unknown>[];
  readonly revoked: Set<string>;
  /** How long answers were held back; they are not, here. */
  readonly pausesMs: number[];
  as(token: string): Metadata;
  clients(trusted?: TlsIdentity): ReturnType<typeof connect>;
  close(): Promise<void>;
}

export async function startTestApi(fakes: Fakes = {}): Promise<TestApi> {
  const tls = await selfSigned('localhost');
  const audited: AuditEntry[] = [];
  const observed: TestApi['observed'] = [];
  const logged: TestApi['logged'] = [];
  const revoked = new Set<string>();
  const pausesMs: number[] = [];
  const log = (fields: unknown) => void logged.push(fields as Record<string, unknown>);
  const api = await startOperatorApi(
    {
      runs: stub(fakes.runs ?? {}),
      agents: stub(fakes.agents ?? {}),
      packs: stub({ list: () => [], ...fakes.packs }),
      access: stub({
        async authenticate(secret: string) {
          const principal = PRINCIPALS.get(secret);
          if (principal !== undefined && !revoked.has(secret)) return principal;
          throw new OpenlineError('UNAUTHENTICATED', 'the token is unknown, expired or revoked');
        },
        listTokens: async () => [],
        ...fakes.access,
      }),
      authority: stub(fakes.authority ?? {}),
      alerts: stub(fakes.alerts ?? {}),
      eventReader: stub(fakes.eventReader ?? {}),
      audit: stub({
        record: async (entry: AuditEntry) => void audited.push(entry),
        list: async () => [],
        ...fakes.audit,
      }),
      declared: stub(fakes.declared ?? {}),
      notifications: stub(fakes.notifications ?? {}),
      health: stub(fakes.health ?? {}),
      maintenance: stub(fakes.maintenance ?? {}),
      tracer: stub({ liveStatus: () => undefined, connectedCount: () => 3, ...fakes.tracer }),
      readPackHolders: async () => ({ connectedAgents: 0, byDigest: new Map() }),
      facts: () => ({ version: '1.2.3', startedAt: new Date(1), agentPort: 5723, caHash: 'sha256:00' }),
      clock: { ...systemClock, sleep: async (ms) => void pausesMs.push(ms) },
      observe: (method, code) => void observed.push({ method, code }),
      log: { error: log, warn: log },
    },
    { listen: { host: '127.0.0.1', port: 0 }, tls },
  );
  const open: { close(): void }[] = [];
  return {
    api,
    tls,
    audited,
    observed,
    logged,
    revoked,
    pausesMs,
    as(token) {
      const metadata = new Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      return metadata;
    },
    clients(trusted = tls) {
      const made = connect(api.port, trusted);
      open.push(...Object.values(made));
      return made;
    },
    async close() {
      for (const client of open) client.close();
      await api.close(100);
    },
  };
}

function connect(port: number, trusted: TlsIdentity) {
  const address = `localhost:${port}`;
  const secure = credentials.createSsl(Buffer.from(trusted.certificatePem));
  const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_send_message_length': -1 };
  return {
    runs: new RunServiceClient(address, secure, options),
    fleet: new FleetServiceClient(address, secure, options),
    packs: new PackServiceClient(address, secure, options),
    access: new AccessServiceClient(address, secure, options),
    alerts: new AlertServiceClient(address, secure, options),
    events: new EventServiceClient(address, secure, options),
  };
}
