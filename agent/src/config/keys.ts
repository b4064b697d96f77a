import { hostname } from 'node:os';
import type { Risk } from '@openline/packs';
import { parseDuration } from '@openline/packs/duration';
import { parsePublicKey } from '@openline/packs/signature';
import { type HostPort, parseHostPort } from '@openline/proto/host-port';
import { MAX_LABELS, MAX_OUTPUT_BYTES } from '@openline/proto/limits';
import { type FileLog, LOG_NAMES, type LogName, readFileLogs } from '../events/config.ts';
import { HOST_ACCESS, type HostAccess } from '../host/view.ts';
import type { LogLevel } from '../telemetry/log.ts';
import { isLabel, parseBytes, parseServer, type ServerAddress } from './values.ts';

/**
 * One key of the configuration: flags, environment variables, the file and the docs are made of it. Written by hand rather than with
 * a schema library, which would be a tenth of the memory that an idle agent may take.
 */
export interface Key<T> {
  /** Without the dashes. */
  readonly flag: string;
  /** May be given more than once. */
  readonly multiple?: true;
  readonly type: string;
  /** As a person would write it; "" when there is none. */
  readonly default: string;
  /** Completes "expected …" in an error. */
  readonly expects: string;
  readonly description: string;
  /** What the file, a flag or a variable says → the value; undefined when it cannot be read. */
  readonly read: (raw: unknown) => T | undefined;
}

const key = <T>(definition: Key<T>): Key<T> => definition;

const text = (accepts: (value: string) => boolean = (value) => value !== '') => ({
  read: (raw: unknown) => (typeof raw === 'string' && accepts(raw) ? raw : undefined),
});

/** A YAML list, a repeated flag, or text separated by commas. */
function list<T>(parse: (item: string) => T | undefined) {
  return {
    multiple: true as const,
    read(raw: unknown): readonly T[] | undefined {
      const given = Array.isArray(raw) ? raw : [raw];
      if (given.length === 0 || !given.every((item) => typeof item === 'string')) return undefined;
      const items = given.flatMap((item) => item.split(',')).map((item) => parse(item.trim()));
      return items.every((item) => item !== undefined) ? items : undefined;
    },
  };
}

function integer(min: number, max: number) {
  const read = (raw: unknown) => {
    const value = typeof raw === 'string' && /^\d{1,9}$/.test(raw) ? Number(raw) : raw;
    return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
  };
  return { type: 'integer', expects: `a whole number from ${min} to ${max}`, read };
}

function measured(parse: (given: string) => number | undefined, min: number, max: number) {
  return {
    read(raw: unknown) {
      const value = typeof raw === 'string' ? parse(raw) : undefined;
      return value !== undefined && value >= min && value <= max ? value : undefined;
    },
  };
}

function oneOf<T extends string>(...values: readonly T[]) {
  return {
    type: values.join(' | '),
    expects: `one of ${values.join(', ')}`,
    read: (raw: unknown) => values.find((value) => value === raw),
  };
}

const path = { type: 'path', expects: 'a path', ...text() };

/** {a: b} in the file; a=b, repeated or separated by commas, elsewhere. */
function readLabels(raw: unknown): Readonly<Record<string, string>> | undefined {
  const pairs: (readonly [string, unknown])[] = [];
  if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) pairs.push(...Object.entries(raw));
  else {
    for (const given of Array.isArray(raw) ? raw : [raw]) {
      if (typeof given !== 'string') return undefined;
      for (const pair of given.split(',')) {
        const at = pair.indexOf('=');
        if (at < 1) return undefined;
        pairs.push([pair.slice(0, at).trim(), pair.slice(at + 1).trim()]);
      }
    }
  }
  const labels: Record<string, string> = {};
  for (const [name, value] of pairs) {
    const label = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
    if (typeof label !== 'string' || !isLabel(name, label)) return undefined;
    labels[name] = label;
  }
  return pairs.length <= MAX_LABELS ? labels : undefined;
}

function readKey(line: string): string | undefined {
  try {
    parsePublicKey(line);
    return line;
  } catch {
    return undefined;
  }
}

function readBoolean(raw: unknown): boolean | undefined {
  if (typeof raw === 'boolean') return raw;
  return raw === 'true' ? true : raw === 'false' ? false : undefined;
}

export const KEYS = {
  servers: key<readonly ServerAddress[]>({
    flag: 'server',
    type: 'list of host[:port]',
    default: 'localhost:5723',
    expects: 'host or host:port, such as openline.example:5723',
    description:
      'The management servers, in the order of preference. The agent keeps to the first that answers, and goes back to it.',
    ...list(parseServer),
  }),
  dataDir: key({
    ...path,
    flag: 'data-dir',
    default: '/var/lib/openline/agent as root, else ~/.local/share/openline/agent',
    description: 'Where the agent keeps its identity, journal, spool and packs. One agent per directory.',
  }),
  name: key({
    flag: 'name',
    type: 'text',
    default: 'the host name',
    expects: 'at most 253 letters, digits, dots, hyphens and underscores',
    description: 'What the agent asks to be called when it enrols. The name it got then stays.',
    ...text((value) => /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(value)),
  }),
  labels: key({
    flag: 'label',
    multiple: true,
    type: 'map',
    default: '',
    expects: `at most ${MAX_LABELS} of key=value`,
    description: 'What operators select this agent by, such as role=web. Labels that the join token pins win.',
    read: readLabels,
  }),
  hostAccess: key<HostAccess>({
    flag: 'host-access',
    ...oneOf(...HOST_ACCESS),
    default: 'none',
    description:
      'For an agent in a container. `none`: tasks, monitors and logs are those of the container. `read`: they read the host’s files and processes below `hostRoot`. `full`: tasks and probes run in the host’s namespaces, as its root. No server can change it.',
  }),
  hostRoot: key({
    flag: 'host-root',
    type: 'path',
    default: '/host',
    expects: 'an absolute path',
    description: 'With `hostAccess: read`: where the root of the host is mounted for reading.',
    ...text((value) => /^(\/[^/]+)+$/.test(value)),
  }),
  joinToken: key({
    flag: 'join-token',
    type: 'text',
    default: '',
    expects: 'a join token',
    description:
      'Single use: turns this machine into an agent when it has no identity, or when its identity was refused. Prefer the file or the environment variable: flags are visible to other users of the machine.',
    ...text(),
  }),
  joinTokenFile: key({
    ...path,
    flag: 'join-token-file',
    default: '',
    description: 'A file that holds the join token. Read when the agent enrols.',
  }),
  kubernetesTokenFile: key({
    ...path,
    flag: 'kubernetes-token-file',
    default: '',
    description:
      'In a cluster: the projected service-account token of this pod, for the audience that the server asks for. The agent then has the identity of its node, keeps its key in memory only, and proves its node anew at half life of its certificate. `caFile` is read again for each connection.',
  }),
  caHash: key({
    flag: 'ca-hash',
    type: 'text',
    default: '',
    expects: 'sha256: and 64 hexadecimal digits, or several of these separated by commas',
    description:
      'The hash of the public key of the server’s CA, as `openline tokens create --join` prints it; two while one CA replaces another. Needed to enrol, unless `caFile` is given.',
    ...text((value) => /^sha256:[0-9a-fA-F]{64}(,sha256:[0-9a-fA-F]{64}){0,7}$/.test(value)),
  }),
  caFile: key({
    ...path,
    flag: 'ca',
    default: '',
    description: 'Instead of `caHash`: the certificate of the server’s CA, PEM.',
  }),
  trustedPackKeys: key<readonly string[]>({
    flag: 'trusted-pack-key',
    type: 'list of minisign public keys',
    default: 'those that the server gave at enrolment',
    expects: 'minisign public keys, such as RWQ…',
    description: 'Whose packs may run here. When set, no server can add to it.',
    ...list(readKey),
  }),
  allowPackDowngrade: key({
    flag: 'allow-pack-downgrade',
    type: 'boolean',
    default: 'false',
    expects: 'true or false',
    description: 'Accept an older version of a pack than one that was held here.',
    read: readBoolean,
  }),
  'tasks.concurrency': key({
    flag: 'tasks-concurrency',
    ...integer(1, 1000),
    default: '8',
    description: 'Tasks that run at the same time.',
  }),
  'tasks.queueLimit': key({
    flag: 'tasks-queue-limit',
    // Hello names every open run, and is one message.
    ...integer(0, 4_000),
    default: '256',
    description: 'Accepted tasks that wait for their turn. The server keeps what is more until there is room.',
  }),
  'tasks.allow': key<readonly string[]>({
    flag: 'tasks-allow',
    type: 'list of patterns',
    default: '*/*',
    expects: 'patterns of pack/task, such as linux/* or utility/ping',
    description: 'The tasks that may run here. No server can overrule it.',
    ...list((item) => (/^[a-z0-9*-]+\/[a-z0-9*-]+$/.test(item) ? item : undefined)),
  }),
  'tasks.maxRisk': key<Risk>({
    flag: 'tasks-max-risk',
    ...oneOf<Risk>('read', 'change', 'dangerous'),
    default: 'dangerous',
    description: 'Tasks of a higher risk do not run here. No server can overrule it.',
  }),
  'tasks.killGrace': key({
    flag: 'tasks-kill-grace',
    type: 'duration',
    default: '5s',
    expects: 'a duration from 0s to 10m, such as 5s',
    description:
      'Between TERM and KILL, when a task is cancelled or takes too long, or the agent is stopped: what stops it has to wait for as long, and 15 s more.',
    ...measured(parseDuration, 0, 600_000),
  }),
  'tasks.outputCap': key({
    flag: 'tasks-output-cap',
    type: 'size',
    default: '8MiB',
    expects: 'a size from 1KiB to 8MiB, such as 512KiB',
    description: 'Output kept of one task; the rest is counted and dropped.',
    ...measured(parseBytes, 1024, MAX_OUTPUT_BYTES),
  }),
  'tasks.spoolLimit': key({
    flag: 'tasks-spool-limit',
    type: 'size',
    default: '1GiB',
    expects: 'a size from 1MiB to 1024GiB, such as 1GiB',
    description: 'Output on disk of all tasks together that the server has not confirmed.',
    ...measured(parseBytes, 1024 ** 2, 1024 ** 4),
  }),
  'events.sources': key<readonly LogName[]>({
    flag: 'events-sources',
    type: `list of ${LOG_NAMES.join(', ')}`,
    default: 'auto',
    expects: `any of ${LOG_NAMES.join(', ')}`,
    description:
      'The logs whose events the rules see, besides `events.files`. `auto`: those that are there: the journal or else the syslog files, the kernel’s log if it may be read, and in a cluster Kubernetes’ events of this node. The agent’s own log is always read: `agent` alone means no other.',
    ...list((item) => LOG_NAMES.find((name) => name === item)),
  }),
  'events.files': key<readonly FileLog[]>({
    flag: 'events-files',
    multiple: true,
    type: 'list of files',
    default: '',
    expects:
      'at most 32 absolute paths, each once, or mappings of path, format (plain, syslog, json), encoding (utf-8, utf-16le, utf-16be, latin1), source and fields',
    description:
      'Files whose lines are events. An item is a path, which may have `*`, `**`, `?`, `[…]` and `{a,b}` in it, or a mapping: `path`; `format` (plain, syslog or json); `encoding` (utf-8, utf-16le, utf-16be or latin1; a byte order mark goes over the first three); `source`, for lines that name none (default: the name of the file up to its first dot); and for json `fields`, where the `message`, `level`, `time`, `source` and `id` of a line are. In a flag or variable: paths separated by commas, or the list as JSON.',
    read: readFileLogs,
  }),
  'events.directory': key({
    ...path,
    flag: 'events-directory',
    default: '',
    description: 'Where the agent’s own event log is, which `openline event` writes. Default: `events` in `dataDir`.',
  }),
  'events.group': key({
    flag: 'events-group',
    type: 'text',
    default: '',
    expects: 'the name or number of a group',
    description:
      'The group whose members may write the agent’s own event log, and so read and remove what others wrote there (docs/security.md). Default: only the agent’s user. `events.directory` must then be somewhere that they can reach.',
    ...text((value) => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(value)),
  }),
  'events.nodeName': key({
    flag: 'events-node-name',
    type: 'text',
    default: '',
    expects: 'the name of a Kubernetes node',
    description: 'Whose Kubernetes events are read. Default: the environment variable `NODE_NAME`, else the host name.',
    ...text((value) => /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(value)),
  }),
  'events.spoolLimit': key({
    flag: 'events-spool-limit',
    type: 'size',
    default: '64MiB',
    expects: 'a size from 1MiB to 16GiB, such as 64MiB',
    description:
      'What rules and monitors found, on disk until the server has confirmed it. Beyond it the oldest goes, and is counted; the newest state of each monitor stays.',
    ...measured(parseBytes, 1024 ** 2, 16 * 1024 ** 3),
  }),
  'events.cpuShare': key({
    flag: 'events-cpu-share',
    ...integer(1, 100),
    default: '50',
    description:
      'Percent of one processor that matching events may take over time, and half a second more, saved up, for a burst. What comes faster waits in its log.',
  }),
  'events.maxBacklog': key({
    flag: 'events-max-backlog',
    type: 'duration',
    default: '1m',
    expects: 'a duration from 1s to 24h, such as 1m',
    description:
      'How far the rules may be behind a log that never ends. Then they skip on to what is fresh; what was skipped is counted to the event.',
    ...measured(parseDuration, 1_000, 86_400_000),
  }),
  'monitors.concurrency': key({
    flag: 'monitors-concurrency',
    ...integer(1, 200),
    default: '16',
    description: 'Probes of monitors that run at the same time, apart from tasks.',
  }),
  'monitors.allow': key<readonly string[]>({
    flag: 'monitors-allow',
    type: 'list of patterns',
    default: '*/*',
    expects: 'patterns of pack/monitor, such as linux/* or demo/queue',
    description: 'The monitors whose probes may run a command or a script here. No server can overrule it.',
    ...list((item) => (/^[a-z0-9*-]+\/[a-z0-9*-]+$/.test(item) ? item : undefined)),
  }),
  metricsListen: key<HostPort>({
    flag: 'metrics-listen',
    type: 'host:port',
    default: '',
    expects: 'host:port, such as 127.0.0.1:9465 (port 0 picks a free one)',
    description:
      'Where `/metrics` (Prometheus), `/healthz` and `/readyz` (the link is ready) are shown, without authentication. Empty: nowhere. docs/metrics.md lists what is shown.',
    read: (raw) => (typeof raw === 'string' ? parseHostPort(raw) : undefined),
  }),
  logLevel: key<LogLevel>({
    flag: 'log-level',
    ...oneOf<LogLevel>('debug', 'info', 'warn', 'error'),
    default: 'info',
    description: 'The least severe log lines that are written.',
  }),
};

export type KeyName = keyof typeof KEYS;
export const KEY_NAMES = Object.keys(KEYS).filter((name): name is KeyName => Object.hasOwn(KEYS, name));

/** tasks.queueLimit → OPENLINE_AGENT_TASKS_QUEUE_LIMIT */
export function envOf(name: KeyName): string {
  return `OPENLINE_AGENT_${name
    .replaceAll('.', '_')
    .replace(/([A-Z])/g, '_$1')
    .toUpperCase()}`;
}

export function defaultName(): string {
  return hostname().replace(/[^A-Za-z0-9._-]/g, '-') || 'agent';
}
