import { parseHostPort } from '@openline/proto/host-port';
import { DEFAULT_AGENT_PORT, DEFAULT_METRICS_PORT, DEFAULT_OPERATOR_PORT, MAX_TTL_MS } from '@openline/proto/limits';
import * as z from 'zod';
import { LOG_LEVELS } from '../telemetry/logger.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLUSTER,
  duration,
  hostPort,
  integer,
  isPostgresUrl,
  type Key,
  LABEL,
  listOfAccounts,
  listOfLabels,
  listOfNames,
  NAME,
  parseOperators,
  path,
  remoteCluster,
  subnets,
  text,
} from './key-kinds.ts';

const DEFAULT_GROUPS = ['rack', 'zone', 'topology.kubernetes.io/zone'];

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
