import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Risk } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import type { HostPort } from '@openline/proto/host-port';
import type { EventsConfig } from '../events/config.ts';
import type { HostAccess } from '../host/view.ts';
import type { LogLevel } from '../telemetry/log.ts';
import { defaultDataDir, eventsDirectoryIn } from './data-dir.ts';
import { defaultName, envOf, KEY_NAMES, KEYS, type Key, type KeyName } from './keys.ts';
import type { ServerAddress } from './values.ts';

/** How this agent behaves. Made once, at the start; after that nobody reads flags, the environment or the file. */
export interface Config {
  /** At least one. */
  readonly servers: readonly ServerAddress[];
  readonly dataDir: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly hostAccess: HostAccess;
  readonly hostRoot: string;
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
  readonly kubernetesTokenFile: string | undefined;
  readonly caHash: string | undefined;
  readonly caFile: string | undefined;
  /** undefined: those of the enrolment. */
  readonly trustedPackKeys: readonly string[] | undefined;
  readonly allowPackDowngrade: boolean;
  readonly tasks: {
    readonly concurrency: number;
    readonly queueLimit: number;
    readonly allow: readonly string[];
    readonly maxRisk: Risk;
    readonly killGraceMs: number;
    readonly outputCapBytes: number;
    readonly spoolLimitBytes: number;
  };
  readonly events: EventsConfig;
  /** Rules and monitors. */
  readonly monitoring: {
    readonly spoolLimitBytes: number;
    /** Of one processor, over 0 up to 1. */
    readonly share: number;
    readonly maxBacklogMs: number;
    readonly probes: number;
    readonly allow: readonly string[];
  };
  /** undefined: no metrics. */
  readonly metricsListen: HostPort | undefined;
  readonly logLevel: LogLevel;
}

export interface ConfigSources {
  /** By key; a repeated flag as a list. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Overrides OPENLINE_AGENT_CONFIG. */
  readonly file?: string | undefined;
}

interface Given {
  /** Where it was set, for the message. */
  readonly where: string;
  readonly raw: unknown;
}

/**
 * A flag wins over an environment variable, that over the file, that over the default.
 * @throws OpenlineError CONFIG_INVALID naming every key that is wrong, never a value
 */
export async function loadConfig({
  flags = {},
  env = {},
  file = env['OPENLINE_AGENT_CONFIG'],
}: ConfigSources): Promise<Config> {
  const problems: string[] = [];
  const fromFile = file === undefined || file === '' ? {} : await readConfigFile(file, problems);

  function find(name: KeyName): Given | undefined {
    if (flags[name] !== undefined) return { where: `--${KEYS[name].flag}`, raw: flags[name] };
    const variable = env[envOf(name)];
    if (variable !== undefined && variable !== '') return { where: envOf(name), raw: variable };
    return fromFile[name];
  }

  function value<T>(name: KeyName, { read, expects }: Key<T>): T | undefined {
    const given = find(name);
    if (!given) return undefined;
    const parsed = read(given.raw);
    if (parsed === undefined) problems.push(`${given.where}: expected ${expects}`);
    return parsed;
  }

  const dataDir = value('dataDir', KEYS.dataDir) ?? defaultDataDir();
  const config: Config = {
    servers: value('servers', KEYS.servers) ?? [{ host: 'localhost', port: 5723 }],
    dataDir,
    name: value('name', KEYS.name) ?? defaultName(),
    labels: value('labels', KEYS.labels) ?? {},
    hostAccess: value('hostAccess', KEYS.hostAccess) ?? 'none',
    hostRoot: value('hostRoot', KEYS.hostRoot) ?? '/host',
    joinToken: value('joinToken', KEYS.joinToken),
    joinTokenFile: value('joinTokenFile', KEYS.joinTokenFile),
    kubernetesTokenFile: value('kubernetesTokenFile', KEYS.kubernetesTokenFile),
    caHash: value('caHash', KEYS.caHash),
    caFile: value('caFile', KEYS.caFile),
    trustedPackKeys: value('trustedPackKeys', KEYS.trustedPackKeys),
    allowPackDowngrade: value('allowPackDowngrade', KEYS.allowPackDowngrade) ?? false,
    tasks: {
      concurrency: value('tasks.concurrency', KEYS['tasks.concurrency']) ?? 8,
      queueLimit: value('tasks.queueLimit', KEYS['tasks.queueLimit']) ?? 256,
      allow: value('tasks.allow', KEYS['tasks.allow']) ?? ['*/*'],
      maxRisk: value('tasks.maxRisk', KEYS['tasks.maxRisk']) ?? 'dangerous',
      killGraceMs: value('tasks.killGrace', KEYS['tasks.killGrace']) ?? 5_000,
      outputCapBytes: value('tasks.outputCap', KEYS['tasks.outputCap']) ?? 8 * 1024 ** 2,
      spoolLimitBytes: value('tasks.spoolLimit', KEYS['tasks.spoolLimit']) ?? 1024 ** 3,
    },
    events: {
      directory: value('events.directory', KEYS['events.directory']) ?? eventsDirectoryIn(dataDir),
      group: value('events.group', KEYS['events.group']),
      sources: value('events.sources', KEYS['events.sources']) ?? ['auto'],
      files: value('events.files', KEYS['events.files']) ?? [],
      nodeName: value('events.nodeName', KEYS['events.nodeName']) ?? (env['NODE_NAME'] || hostname()),
      kubernetesApi: kubernetesApiIn(env),
    },
    monitoring: {
      spoolLimitBytes: value('events.spoolLimit', KEYS['events.spoolLimit']) ?? 64 * 1024 ** 2,
      share: (value('events.cpuShare', KEYS['events.cpuShare']) ?? 50) / 100,
      maxBacklogMs: value('events.maxBacklog', KEYS['events.maxBacklog']) ?? 60_000,
      probes: value('monitors.concurrency', KEYS['monitors.concurrency']) ?? 16,
      allow: value('monitors.allow', KEYS['monitors.allow']) ?? ['*/*'],
    },
    metricsListen: value('metricsListen', KEYS.metricsListen),
    logLevel: value('logLevel', KEYS.logLevel) ?? 'info',
  };
  if (config.events.sources.includes('kubernetes') && config.events.kubernetesApi === undefined)
    problems.push(
      'events.sources: kubernetes: the agent does not run in a cluster (KUBERNETES_SERVICE_HOST is not set)',
    );
  if (problems.length > 0) throw new OpenlineError('CONFIG_INVALID', problems.join('; '));
  Object.freeze(config.tasks);
  Object.freeze(config.events);
  Object.freeze(config.monitoring);
  return Object.freeze(config);
}

/** As every pod has it. */
function kubernetesApiIn(env: Readonly<Record<string, string | undefined>>): EventsConfig['kubernetesApi'] {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  return host ? { host, port: Number(port) || 443 } : undefined;
}

async function readConfigFile(file: string, problems: string[]): Promise<Partial<Record<KeyName, Given>>> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new OpenlineError('CONFIG_INVALID', `${file}: cannot be read (${reason})`, { cause });
  }
  // Loaded only where there is a file: most agents are configured by flags or the environment.
  const { LineCounter, parseDocument } = await import('./yaml.ts');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const error = document.errors[0];
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    // The library's message quotes the line, which may hold a secret.
    throw new OpenlineError('CONFIG_INVALID', `${file}:${line}:${col}: not valid YAML`);
  }
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    throw new OpenlineError('CONFIG_INVALID', `${file}: aliases are not allowed here`);
  }
  const given: Partial<Record<KeyName, Given>> = {};
  for (const [name, value] of flatten(raw)) {
    const key = KEY_NAMES.find((known) => known === name);
    if (key) given[key] = { where: `${name} in ${file}`, raw: value };
    else problems.push(`${name || 'the content'} in ${file}: there is no such key`);
  }
  return given;
}

/** Nested mappings become dotted names, down to a key: labels are a mapping themselves. */
function flatten(raw: unknown, prefix = ''): [string, unknown][] {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return [[prefix, raw]];
  return Object.entries(raw).flatMap(([name, value]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const isGroup = KEY_NAMES.some((key) => key.startsWith(`${path}.`));
    return isGroup ? flatten(value, path) : [[path, value] satisfies [string, unknown]];
  });
}
