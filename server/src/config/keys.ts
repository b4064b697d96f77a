import { formatDuration, parseDuration } from '@openline/packs/duration';
import { formatHostPort, parseHostPort } from '@openline/proto/host-port';
import { DEFAULT_AGENT_PORT, DEFAULT_METRICS_PORT, DEFAULT_OPERATOR_PORT, MAX_TTL_MS } from '@openline/proto/limits';
import * as z from 'zod';
import { isRole } from '../access/access.ts';
import type { WorkloadOperator } from '../access/workloads.ts';
import { LOG_LEVELS } from '../telemetry/logger.ts';
import { parseSubnet } from './values.ts';

/** One key of the configuration. The docs, the flags, the environment variables and the check are made of it. */
export interface Key<S extends z.ZodType> {
  readonly type: string;
  readonly schema: S;
  /** As a person would write it; "" when there is none. */
  readonly default: string;
  /** Completes "expected …" in an error. Never shows what was given. */
  readonly expects: string;
  readonly description: string;
  readonly secret?: true;
}

/** Reads text by `parse`; what is already a value of the right kind (a default) passes. */
function text<T>(parse: (text: string) => T | undefined) {
  return z.string().transform((value, context) => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom' });
    return z.NEVER;
  });
}

const within = (value: number | undefined, min: number, max: number) =>
  value !== undefined && value >= min && value <= max ? value : undefined;

function duration(defaultMs: number, minMs: number, maxMs: number, description: string) {
  return {
    type: 'duration',
    schema: text((value) => within(parseDuration(value), minMs, maxMs)).default(defaultMs),
    default: formatDuration(defaultMs),
    expects: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as ${formatDuration(defaultMs)}`,
    description,
  };
}

function integer(defaultValue: number, min: number, max: number, description: string) {
  const parse = (value: string) => (/^\d{1,15}$/.test(value) ? within(Number(value), min, max) : undefined);
  return {
    type: 'integer',
    schema: z.union([z.int().min(min).max(max), text(parse)]).default(defaultValue),
    default: String(defaultValue),
    expects: `a whole number from ${min} to ${max}`,
    description,
  };
}

function hostPort(host: string, port: number, description: string) {
  return {
    type: 'host:port',
    schema: text(parseHostPort).default({ host, port }),
    default: formatHostPort({ host, port }),
    expects: `host:port, such as ${formatHostPort({ host, port })} (port 0 picks a free one)`,
    description,
  };
}

const path = (defaultText: string, description: string) => ({
  type: 'path',
  schema: z.string().min(1).optional(),
  default: defaultText,
  expects: 'a path',
  description,
});

/** What the driver would choke on later, with the URL in its message. */
function isPostgresUrl(text: string): boolean {
  if (!/^postgres(ql)?:\/\/./.test(text) || !URL.canParse(text)) return false;
  const { username, password, pathname } = new URL(text);
  try {
    return [username, password, pathname].every((part) => decodeURIComponent(part) !== undefined);
  } catch {
    return false;
  }
}

const NAME = /^[A-Za-z0-9.:_*-]{1,253}$/;
const listOfNames = text((value) => {
  const names = value.split(',').map((name) => name.trim());
  return names.every((name) => NAME.test(name)) ? names : undefined;
});

const subnets = (description: string) => ({
  type: 'list',
  schema: z
    .union([z.array(z.string()), text((value) => (value.trim() === '' ? [] : value.split(',')))])
    .default([])
    .transform((items, context) => {
      const parsed = items.map((item) => parseSubnet(item));
      if (parsed.every((each) => each !== undefined)) return parsed;
      context.addIssue({ code: 'custom' });
      return z.NEVER;
    }),
  default: '',
  expects: 'addresses and networks separated by commas, such as 10.0.0.0/8,fd00::/8',
  description,
});

const LABEL = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/;
const DEFAULT_GROUPS = ['rack', 'zone', 'topology.kubernetes.io/zone'];
const listOfLabels = text((value) => {
  const labels = value === '' ? [] : value.split(',').map((label) => label.trim());
  return labels.every((label) => LABEL.test(label)) ? labels : undefined;
});

const ACCOUNT = /^[a-z0-9.-]{1,253}:[a-z0-9.-]{1,253}$/;
const AUDIENCE = /^\S{1,253}$/;
const CLUSTER = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;
const listOfAccounts = text((value) => {
  const accounts = value === '' ? [] : value.split(',').map((account) => account.trim());
  return accounts.every((account) => ACCOUNT.test(account)) ? accounts : undefined;
});
const OPERATOR = /^([a-z0-9.-]{1,253}:[a-z0-9.-]{1,253})=(viewer|operator|admin)$/;
/** @returns undefined: not readable, or an account with two roles */
function parseOperators(items: readonly string[]): WorkloadOperator[] | undefined {
  const operators = items.map((item) => {
    const [, account, role] = OPERATOR.exec(item.trim()) ?? [];
    return account !== undefined && isRole(role) ? { account, role } : undefined;
  });
  const accounts = new Set(operators.map((operator) => operator?.account));
  return operators.every((operator) => operator !== undefined) && accounts.size === items.length
    ? operators
    : undefined;
}
const remoteCluster = z.strictObject({
  name: z.string().regex(CLUSTER),
  issuer: z.url({ protocol: /^https$/ }),
  serviceAccounts: z.array(z.string().regex(ACCOUNT)).min(1),
  audience: z.string().regex(AUDIENCE).optional(),
  jwksFile: z.string().min(1).optional(),
});

export const KEYS = {
  dataDir: path(
    '/var/lib/openline/server as root, else ~/.local/share/openline/server',
    'Where the server keeps its certificate authority, its keys and, when it runs its own, PostgreSQL. One server per directory.',
  ),
  agentListen: hostPort('0.0.0.0', DEFAULT_AGENT_PORT, 'Where agents connect (gRPC, mutual TLS).'),
  operatorListen: hostPort(
    '0.0.0.0',
    DEFAULT_OPERATOR_PORT,
    'Where the CLI connects (gRPC, TLS, a token with each request).',
  ),
  metricsListen: hostPort(
    '127.0.0.1',
    DEFAULT_METRICS_PORT,
    'Where /metrics, /healthz and /readyz are served: plain HTTP, no authentication, so this machine only unless you open it.',
  ),
  databaseUrl: {
    type: 'URL',
    schema: z.string().refine(isPostgresUrl).optional(),
    default: '',
    expects: 'a PostgreSQL URL, such as postgres://user:password@host:5432/database',
    description:
      'The PostgreSQL to use (14 or newer, a direct connection). Without it the server runs its own in the data directory. Prefer the environment variable: flags are visible to other users of the machine.',
    secret: true,
  },
  advertise: {
    type: 'list',
    schema: z.union([z.array(z.string().regex(NAME)).min(1), listOfNames]).optional(),
    default: 'localhost, the host name, and the addresses of this machine',
    expects: 'DNS names and addresses, separated by commas',
    description:
      'Names and addresses that agents and operators reach this server by: what its certificate is made for.',
  },
  agentAddress: {
    type: 'host:port',
    schema: text((value) => {
      const address = parseHostPort(value);
      return address === undefined || address.port === 0 ? undefined : address;
    }).optional(),
    default: '',
    expects: 'host:port, such as agents.example.org:443',
    description:
      'How agents reach this server when it is behind a load balancer or an Ingress: what `openline tokens create --join` prints. The certificate is made for that host, too. Without it: the host that the operator asked, and the port of agentListen.',
  },
  heartbeatInterval: duration(15_000, 100, 3_600_000, 'How often an agent proves that it works.'),
  offlineAfter: duration(
    45_000,
    300,
    86_400_000,
    'An agent that was silent for this long is offline, and its link is closed. Longer than heartbeatInterval.',
  ),
  stoppedAfter: duration(
    900_000,
    1000,
    30 * 86_400_000,
    'How long an agent that was stopped on purpose may stay away before an alert says so.',
  ),
  lineSettle: duration(
    5_000,
    100,
    600_000,
    'Beyond one heartbeat, how long the loss of a line waits for others of its rack or zone, so that they make one alert.',
  ),
  lineGrace: duration(
    90_000,
    1000,
    3_600_000,
    'After a start of the server or an outage of the database: how long agents have to come back before a lost line counts.',
  ),
  lineStorm: integer(
    20,
    2,
    1_000_000,
    'So many lines that are lost together, with no group of agents to explain it, make one alert.',
  ),
  lineProbes: {
    type: 'boolean',
    schema: z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')]).default(true),
    default: 'true',
    expects: 'true or false',
    description:
      'Whether the node of a lost line is looked at (a TCP connection, a ping, the Kubernetes node), to tell agent, node and network apart.',
  },
  groupLabels: {
    type: 'list',
    schema: z.union([z.array(z.string().regex(LABEL)), listOfLabels]).default(DEFAULT_GROUPS),
    default: DEFAULT_GROUPS.join(','),
    expects: 'names of labels or facts, separated by commas',
    description:
      'Labels whose values make groups of agents, besides those that are declared as HealthGroup: for roll-up, and to tell what is lost together.',
  },
  defaultTtl: duration(
    3_600_000,
    1000,
    MAX_TTL_MS,
    'How long a run waits for targets to start it, when the request does not say.',
  ),
  lostAfter: duration(
    600_000,
    1000,
    MAX_TTL_MS,
    'How long after its deadline a dispatch that an unreachable agent took is called lost. A result that still arrives replaces that.',
  ),
  agentCertificateTtl: duration(
    86_400_000,
    // Below, an agent's retries would take longer than what is left of the certificate at half of its life.
    600_000,
    90 * 86_400_000,
    'Life of an agent’s certificate; the agent renews it at half of it. An agent that is off for longer must be enrolled again.',
  ),
  caDirectory: path(
    '',
    'A directory with the certificate authority to use, instead of one that the server makes: `tls.crt`, `tls.key` and, where tls.crt does not lead to a root, `ca.crt`, as cert-manager and Secrets of the type kubernetes.io/tls have them. Followed when it changes.',
  ),
  caOverlap: duration(
    86_400_000,
    0,
    90 * 86_400_000,
    'How long at least the authority before stays trusted when another replaces it: the time that operators have to take the new one, and that join commands made before still work.',
  ),
  kubernetesAgents: {
    type: 'list',
    schema: z.union([z.array(z.string().regex(ACCOUNT)), listOfAccounts]).default([]),
    default: '',
    expects: 'service accounts as namespace:name, separated by commas',
    description:
      'Whose pods may enrol as the agent of their node, with a projected service-account token that the API of the cluster around this server reviews. Empty: none.',
  },
  kubernetesOperators: {
    type: 'list',
    schema: z
      .union([z.array(z.string()), text((value) => (value.trim() === '' ? [] : value.split(',')))])
      .default([])
      .transform((items, context) => {
        const parsed = parseOperators(items);
        if (parsed !== undefined) return parsed;
        context.addIssue({ code: 'custom' });
        return z.NEVER;
      }),
    default: '',
    expects: 'service accounts and their roles as namespace:name=role, each account once, separated by commas',
    description:
      'Service accounts of the cluster around this server that are operators (viewer, operator or admin), with a projected token for `kubernetesAudience` in place of an operator token: for jobs in the cluster. Empty: none.',
  },
  kubernetesAudience: {
    type: 'text',
    schema: z.string().regex(AUDIENCE).default('openline'),
    default: 'openline',
    expects: 'up to 253 characters without blanks',
    description: 'The audience that those tokens must be made for.',
  },
  kubernetesCluster: {
    type: 'text',
    schema: z.string().regex(CLUSTER).default('local'),
    default: 'local',
    expects: 'a name of small letters, digits, dots and dashes',
    description:
      'What the cluster around this server is called. Identities of its nodes are made of it: do not change it.',
  },
  kubernetesCaConfigMap: {
    type: 'text',
    schema: z.string().regex(CLUSTER).optional(),
    default: '',
    expects: 'the name of a ConfigMap',
    description:
      'A ConfigMap in the namespace of this server, which writes the certificate of its authority to the key `ca.crt` there: agents in the cluster mount it to know their server.',
  },
  stateSecret: {
    type: 'text',
    schema: z.string().regex(CLUSTER).optional(),
    default: '',
    expects: 'the name of a Secret',
    description:
      'A Secret in the namespace of this server that keeps what the server makes itself (certificate authority, pack key, first admin token), for a server whose data directory does not outlive its pod. The server makes it where it is not there. Without it the data directory keeps them.',
  },
  remoteClusters: {
    type: 'list of clusters',
    schema: z
      .union([
        z.array(remoteCluster),
        text((value) => {
          try {
            return z.array(remoteCluster).safeParse(JSON.parse(value)).data;
          } catch {
            return undefined;
          }
        }),
      ])
      .default([]),
    default: '',
    expects: 'a list of clusters: name, issuer (https), serviceAccounts, and perhaps audience and jwksFile',
    description:
      'Other clusters whose pods may enrol: `name`; `issuer`, as their tokens say it; `serviceAccounts`, as in `kubernetesAgents`; `audience`, when it is another one; and `jwksFile` with the issuer’s keys, where discovery (`<issuer>/.well-known/openid-configuration`) cannot be reached. In a flag or variable: as JSON.',
  },
  nodeCertificateTtl: duration(
    3_600_000,
    600_000,
    7 * 86_400_000,
    'Life of the certificate of an agent on Kubernetes; at half of it the agent proves its node anew.',
  ),
  drain: duration(
    20_000,
    0,
    3_600_000,
    'When the server stops: the time over which agents are told to reconnect elsewhere, and open requests may end.',
  ),
  historyDays: integer(7, 1, 3650, 'Days that ended runs and their output are kept. The audit log is kept for ever.'),
  alertHistoryDays: integer(
    30,
    1,
    3650,
    'Days that closed alerts are kept, with their history and the events behind them.',
  ),
  eventHistoryDays: integer(7, 1, 3650, 'Days that events are kept; those behind an alert as long as the alert.'),
  maxEvents: integer(500_000, 1_000, 1_000_000_000, 'Events that are kept at most; of more the oldest go.'),
  maxAgents: integer(20_000, 1, 1_000_000, 'Links that this server accepts; more are told to retry later.'),
  trustedPackKeys: path(
    '',
    'A further directory of public keys (*.pub) whose packs are accepted, besides trusted-keys/ in the data directory.',
  ),
  manifests: {
    type: 'list of paths',
    schema: z
      .union([
        z.array(z.string().min(1)),
        text((value) =>
          value
            .split(',')
            .map((item) => item.trim())
            .filter((item) => item !== ''),
        ),
      ])
      .default([]),
    default: '',
    expects: 'directories, separated by commas',
    description:
      'Directories whose *.yaml files are the truth: packs (signed by FILE.minisig beside them, or else with the key of this server) and declared objects such as channels and subscriptions. Taken at the start and whenever a file changes; what is gone from the files is removed, unless somebody applied it meanwhile.',
  },
  secretsDir: path(
    '',
    'The only directory (default: secrets in the data directory) that secrets of declared objects (`{file: …}`) may be in. The others are environment variables whose names begin with OPENLINE_SECRET_.',
  ),
  notifyAllow: subnets(
    'Addresses that webhooks, chats and Alertmanager may be reached at although they are loopback, link-local or metadata addresses, or denied by notifyDeny.',
  ),
  notifyDeny: subnets(
    'Further addresses that webhooks, chats and Alertmanager may not be reached at, e.g. your own networks.',
  ),
  notifyCommands: path(
    '',
    'The directory of the programs that channels of the kind command may run. Without it they run none.',
  ),
  logLevel: {
    type: LOG_LEVELS.join(' | '),
    schema: z.enum(LOG_LEVELS).default('info'),
    default: 'info',
    expects: `one of ${LOG_LEVELS.join(', ')}`,
    description: 'The least severe log lines that are written.',
  },
  resetAdminToken: {
    type: 'boolean',
    schema: z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')]).default(false),
    default: 'false',
    expects: 'true or false',
    description:
      'At this start, revoke the token named admin and make a new one: in admin-token of the data directory, and in the Secret of stateSecret.',
  },
} as const satisfies Record<string, Key<z.ZodType>>;

export type KeyName = keyof typeof KEYS;
export const KEY_NAMES = Object.keys(KEYS).filter((name): name is KeyName => Object.hasOwn(KEYS, name));

/** agentListen → agent-listen, AGENT_LISTEN */
const words = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
export const flagOf = (name: string) => `--${words(name)}`;
export const envOf = (name: string) => `OPENLINE_SERVER_${words(name).replaceAll('-', '_').toUpperCase()}`;
