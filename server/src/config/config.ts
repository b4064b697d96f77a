import { readFileSync } from 'node:fs';
import { homedir, hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import type { HostPort } from '@openline/proto/host-port';
import { parseDocument } from 'yaml';
import * as z from 'zod';
import type { WorkloadOperator } from '../access/workloads.ts';
import type { RemoteCluster } from '../enrollment/nodes/issuer-keys.ts';
import type { LogLevel } from '../telemetry/logger.ts';
import { envOf, flagOf, KEY_NAMES, KEYS, type KeyName } from './keys.ts';
import type { Subnet } from './values.ts';

/** Frozen; nobody reads flags, environment or files after it was made. docs/configuration.md describes each key. */
export interface Config {
  /** Absolute. */
  readonly dataDir: string;
  readonly agentListen: HostPort;
  readonly operatorListen: HostPort;
  readonly metricsListen: HostPort;
  /** A secret: never log it. undefined: the embedded PostgreSQL. */
  readonly databaseUrl: string | undefined;
  /** With the host of agentAddress. */
  readonly advertise: readonly string[];
  readonly agentAddress: HostPort | undefined;
  readonly heartbeatIntervalMs: number;
  readonly offlineAfterMs: number;
  readonly stoppedAfterMs: number;
  readonly lineSettleMs: number;
  readonly lineGraceMs: number;
  readonly lineStorm: number;
  readonly lineProbes: boolean;
  readonly groupLabels: readonly string[];
  readonly defaultTtlMs: number;
  readonly lostAfterMs: number;
  readonly agentCertificateTtlMs: number;
  /** Absolute. undefined: the server makes its own. */
  readonly caDirectory: string | undefined;
  readonly caOverlapMs: number;
  /** `namespace:name`; empty: no agents of this cluster. */
  readonly kubernetesAgents: readonly string[];
  readonly kubernetesOperators: readonly WorkloadOperator[];
  readonly kubernetesAudience: string;
  readonly kubernetesCluster: string;
  readonly kubernetesCaConfigMap: string | undefined;
  readonly stateSecret: string | undefined;
  readonly remoteClusters: readonly RemoteCluster[];
  readonly nodeCertificateTtlMs: number;
  readonly drainMs: number;
  readonly historyDays: number;
  readonly alertHistoryDays: number;
  readonly eventHistoryDays: number;
  readonly maxEvents: number;
  readonly maxAgents: number;
  /** Absolute. */
  readonly trustedPackKeys: string | undefined;
  /** Absolute. */
  readonly manifests: readonly string[];
  /** Absolute. */
  readonly secretsDir: string;
  readonly notifyAllow: readonly Subnet[];
  readonly notifyDeny: readonly Subnet[];
  /** Absolute. undefined: no commands. */
  readonly notifyCommands: string | undefined;
  readonly logLevel: LogLevel;
  readonly resetAdminToken: boolean;
}

export interface ConfigSources {
  /** By key (`agentListen`), text as typed; undefined: not given. Unknown keys are refused. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** OPENLINE_SERVER_…; others are ignored (Kubernetes itself sets OPENLINE_SERVER_PORT and its like for a Service). */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a YAML file. Default: OPENLINE_SERVER_CONFIG, else none. */
  readonly file?: string | undefined;
}

const schema = z.strictObject({
  dataDir: KEYS.dataDir.schema,
  agentListen: KEYS.agentListen.schema,
  operatorListen: KEYS.operatorListen.schema,
  metricsListen: KEYS.metricsListen.schema,
  databaseUrl: KEYS.databaseUrl.schema,
  advertise: KEYS.advertise.schema,
  agentAddress: KEYS.agentAddress.schema,
  heartbeatInterval: KEYS.heartbeatInterval.schema,
  offlineAfter: KEYS.offlineAfter.schema,
  stoppedAfter: KEYS.stoppedAfter.schema,
  lineSettle: KEYS.lineSettle.schema,
  lineGrace: KEYS.lineGrace.schema,
  lineStorm: KEYS.lineStorm.schema,
  lineProbes: KEYS.lineProbes.schema,
  groupLabels: KEYS.groupLabels.schema,
  defaultTtl: KEYS.defaultTtl.schema,
  lostAfter: KEYS.lostAfter.schema,
  agentCertificateTtl: KEYS.agentCertificateTtl.schema,
  caDirectory: KEYS.caDirectory.schema,
  caOverlap: KEYS.caOverlap.schema,
  kubernetesAgents: KEYS.kubernetesAgents.schema,
  kubernetesOperators: KEYS.kubernetesOperators.schema,
  kubernetesAudience: KEYS.kubernetesAudience.schema,
  kubernetesCluster: KEYS.kubernetesCluster.schema,
  kubernetesCaConfigMap: KEYS.kubernetesCaConfigMap.schema,
  stateSecret: KEYS.stateSecret.schema,
  remoteClusters: KEYS.remoteClusters.schema,
  nodeCertificateTtl: KEYS.nodeCertificateTtl.schema,
  drain: KEYS.drain.schema,
  historyDays: KEYS.historyDays.schema,
  alertHistoryDays: KEYS.alertHistoryDays.schema,
  eventHistoryDays: KEYS.eventHistoryDays.schema,
  maxEvents: KEYS.maxEvents.schema,
  maxAgents: KEYS.maxAgents.schema,
  trustedPackKeys: KEYS.trustedPackKeys.schema,
  manifests: KEYS.manifests.schema,
  secretsDir: KEYS.secretsDir.schema,
  notifyAllow: KEYS.notifyAllow.schema,
  notifyDeny: KEYS.notifyDeny.schema,
  notifyCommands: KEYS.notifyCommands.schema,
  logLevel: KEYS.logLevel.schema,
  resetAdminToken: KEYS.resetAdminToken.schema,
} satisfies Record<KeyName, z.ZodType>);

/**
 * Flags win over the environment, that over the file, that over the defaults.
 * @throws OpenlineError CONFIG_INVALID naming every wrong key where it was set and what it expects, never its value.
 */
export function loadConfig({ flags = {}, env = {}, file = env[envOf('config')] }: ConfigSources): Config {
  const given = new Map<string, { value: unknown; source: string }>();
  if (file !== undefined) {
    for (const [key, value] of Object.entries(readYaml(file))) given.set(key, { value, source: `${key} in ${file}` });
  }
  for (const key of KEY_NAMES) {
    const value = env[envOf(key)];
    if (value !== undefined) given.set(key, { value, source: envOf(key) });
  }
  for (const [key, value] of Object.entries(flags)) {
    if (value !== undefined) given.set(key, { value, source: flagOf(key) });
  }

  const sourceOf = (key: string) => given.get(key)?.source ?? key;
  const parsed = schema.safeParse(Object.fromEntries([...given].map(([key, { value }]) => [key, value])));
  const problems = parsed.success ? [] : explain(parsed.error, sourceOf);
  if (parsed.success && parsed.data.offlineAfter <= parsed.data.heartbeatInterval) {
    problems.push(`${sourceOf('offlineAfter')}: expected more than heartbeatInterval`);
  }
  const clusters =
    parsed.data === undefined
      ? []
      : [parsed.data.kubernetesCluster, ...parsed.data.remoteClusters.map(({ name }) => name)];
  if (new Set(clusters).size < clusters.length)
    problems.push(
      `${sourceOf('remoteClusters')}: expected names that are each another one, and none that is kubernetesCluster`,
    );
  if (!parsed.success || problems.length > 0) throw new OpenlineError('CONFIG_INVALID', problems.join('; '));

  const { heartbeatInterval, offlineAfter, stoppedAfter, lineSettle, lineGrace, ...timed } = parsed.data;
  const { defaultTtl, lostAfter, agentCertificateTtl, caOverlap, nodeCertificateTtl, drain, ...rest } = timed;
  const agentHost = rest.agentAddress === undefined ? [] : [rest.agentAddress.host];
  const dataDir = resolve(rest.dataDir ?? defaultDataDir());
  return Object.freeze({
    ...rest,
    dataDir,
    manifests: rest.manifests.map((directory) => resolve(directory)),
    secretsDir: rest.secretsDir === undefined ? join(dataDir, 'secrets') : resolve(rest.secretsDir),
    notifyCommands: rest.notifyCommands === undefined ? undefined : resolve(rest.notifyCommands),
    databaseUrl: rest.databaseUrl,
    advertise: Object.freeze([...new Set([...(rest.advertise ?? namesOfThisMachine()), ...agentHost])]),
    agentAddress: rest.agentAddress,
    trustedPackKeys: rest.trustedPackKeys === undefined ? undefined : resolve(rest.trustedPackKeys),
    heartbeatIntervalMs: heartbeatInterval,
    offlineAfterMs: offlineAfter,
    stoppedAfterMs: stoppedAfter,
    lineSettleMs: lineSettle,
    lineGraceMs: lineGrace,
    groupLabels: Object.freeze(rest.groupLabels),
    defaultTtlMs: defaultTtl,
    lostAfterMs: lostAfter,
    agentCertificateTtlMs: agentCertificateTtl,
    caDirectory: rest.caDirectory === undefined ? undefined : resolve(rest.caDirectory),
    caOverlapMs: caOverlap,
    nodeCertificateTtlMs: nodeCertificateTtl,
    remoteClusters: rest.remoteClusters.map(({ name, issuer, serviceAccounts, audience, jwksFile }) => ({
      name,
      issuer,
      accounts: serviceAccounts,
      audience: audience ?? rest.kubernetesAudience,
      jwksFile: jwksFile === undefined ? undefined : resolve(jwksFile),
    })),
    kubernetesCaConfigMap: rest.kubernetesCaConfigMap,
    stateSecret: rest.stateSecret,
    drainMs: drain,
  });
}

function explain(error: z.ZodError, sourceOf: (key: string) => string): string[] {
  const problems = new Set<string>();
  for (const issue of error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) problems.add(`${sourceOf(key)}: there is no such key`);
      continue;
    }
    const key = KEY_NAMES.find((name) => name === issue.path[0]);
    problems.add(key === undefined ? 'not readable' : `${sourceOf(key)}: expected ${KEYS[key].expects}`);
  }
  return [...problems];
}

function readYaml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new OpenlineError('CONFIG_INVALID', `the configuration file ${file} cannot be read (${reason})`);
  }
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) {
    // The parser's own message quotes the line, which may hold a secret.
    const at = problem.linePos?.[0];
    const place = at === undefined ? file : `${file}:${at.line}:${at.col}`;
    throw new OpenlineError('CONFIG_INVALID', `${place}: not valid YAML (${problem.code})`);
  }
  const result = z.record(z.string(), z.unknown()).safeParse(document.toJS() ?? {});
  if (!result.success) throw new OpenlineError('CONFIG_INVALID', `${file}: expected keys and values`);
  return result.data;
}

function defaultDataDir(): string {
  return process.getuid?.() === 0 ? '/var/lib/openline/server' : join(homedir(), '.local/share/openline/server');
}

function namesOfThisMachine(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const reachable = addresses.filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address);
  return [...new Set(['localhost', hostname(), '127.0.0.1', '::1', ...reachable])];
}
