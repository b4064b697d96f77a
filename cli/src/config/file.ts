import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CliError, fileProblem } from '../failure.ts';
import type { Env } from '../io.ts';
import { readWhole } from '../read-whole.ts';

/** One server and how to speak to it. Paths are relative to the file that holds them. */
export interface Context {
  readonly name: string;
  readonly server: string;
  /** PEM text. */
  readonly ca?: string;
  readonly caFile?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

export interface ConfigFile {
  readonly currentContext?: string;
  readonly contexts: readonly Context[];
}

const KEYS = { server: 'server', ca: 'ca', caFile: 'ca-file', token: 'token', tokenFile: 'token-file' } as const;

export function configPath(env: Env, home: string): string {
  return env['OPENLINE_CONFIG'] || join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'openline', 'config.yaml');
}

/** @returns no contexts when there is no such file. @throws CliError CONFIG_INVALID naming the key, never its value */
export async function readConfig(path: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = (await readWhole(path, 'contexts')).toString('utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { contexts: [] };
    throw unreadable(path, error);
  }
  return parseConfigText(text, path);
}

/** @throws CliError CONFIG_INVALID naming the key, never its value */
export async function parseConfigText(text: string, path: string): Promise<ConfigFile> {
  const { parse } = await import('../yaml.ts');
  let raw: unknown;
  try {
    raw = parse(text);
  } catch {
    throw invalid(path, 'is not YAML'); // the parser's own message would quote the line, and the line may hold a token
  }
  return parseConfig(raw ?? {}, path);
}

export function parseConfig(raw: unknown, path: string): ConfigFile {
  const file = record(raw, path, 'the file');
  refuseUnknown(file, ['current-context', 'contexts'], path, '');
  const current = text(file, 'current-context', path, '');
  const list = file['contexts'] ?? [];
  if (!Array.isArray(list)) throw invalid(path, '`contexts` is not a list');
  const contexts = list.map((each, index) => parseContext(each, `contexts[${index}]`, path));
  const names = new Set<string>();
  for (const { name } of contexts) {
    if (names.has(name)) throw invalid(path, `\`contexts\` names ${name} twice`);
    names.add(name);
  }
  return { contexts, ...(current === undefined ? {} : { currentContext: current }) };
}

function parseContext(raw: unknown, at: string, path: string): Context {
  const entry = record(raw, path, `\`${at}\``);
  refuseUnknown(entry, ['name', ...Object.values(KEYS)], path, `${at}.`);
  const name = text(entry, 'name', path, `${at}.`);
  const server = text(entry, 'server', path, `${at}.`);
  if (name === undefined) throw invalid(path, `\`${at}.name\` is missing`);
  if (server === undefined) throw invalid(path, `\`${at}.server\` is missing`);
  const context: { -readonly [K in keyof Context]: Context[K] } = { name, server };
  for (const key of ['ca', 'caFile', 'token', 'tokenFile'] as const) {
    const value = text(entry, KEYS[key], path, `${at}.`);
    if (value !== undefined) context[key] = value;
  }
  return context;
}

function record(raw: unknown, path: string, what: string): Record<string, unknown> {
  if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) return { ...raw };
  throw invalid(path, `${what} is not a mapping`);
}

function refuseUnknown(entry: Record<string, unknown>, known: readonly string[], path: string, at: string): void {
  for (const key of Object.keys(entry)) {
    if (!known.includes(key)) throw invalid(path, `\`${at}${key}\` is not a key; there are ${known.join(', ')}`);
  }
}

function text(entry: Record<string, unknown>, key: string, path: string, at: string): string | undefined {
  const value = entry[key];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw invalid(path, `\`${at}${key}\` is not text`);
  return value;
}

function invalid(path: string, problem: string): CliError {
  return new CliError(
    'CONFIG_INVALID',
    `${path}: ${problem}`,
    'Correct that key, or name another file with OPENLINE_CONFIG.',
  );
}

function unreadable(path: string, error: unknown): CliError {
  return new CliError(
    'CONFIG_INVALID',
    `cannot use ${path}: ${fileProblem(error)}`,
    'Make it yours to read and write, or name another with OPENLINE_CONFIG.',
    {
      cause: error,
    },
  );
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

export async function renderConfig(config: ConfigFile): Promise<string> {
  const { stringify } = await import('../yaml.ts');
  const contexts = config.contexts.map((context) => ({
    name: context.name,
    ...Object.fromEntries(
      Object.entries(KEYS).flatMap(([key, word]) => {
        const value = context[key as keyof typeof KEYS];
        return value === undefined ? [] : [[word, value]];
      }),
    ),
  }));
  return stringify({ 'current-context': config.currentContext ?? '', contexts });
}

/** Replaces the file in one step, readable by its owner alone: it holds tokens. */
export async function writeConfig(path: string, config: ConfigFile): Promise<void> {
  const body = await renderConfig(config);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(body);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw unreadable(path, error);
  }
}
