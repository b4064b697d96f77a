import { isAbsolute } from 'node:path';
import { FORMATS, type Format } from './formats/format.ts';
import type { JsonFields } from './formats/json.ts';
import type { Encoding } from './read/lines.ts';
import { isObject } from './read/position.ts';

/** What the agent's configuration says of events: the notations, and what comes of them. */

export const LOG_NAMES = ['auto', 'agent', 'journal', 'syslog', 'kernel', 'kubernetes', 'windows'] as const;
export type LogName = (typeof LOG_NAMES)[number];

const ENCODINGS = ['utf-8', 'utf-16le', 'utf-16be', 'latin1'] as const satisfies readonly Encoding[];

/** Files that are read as one source. */
export interface FileLog {
  /** Absolute; may have `*`, `?`, `[…]`, `{a,b}` and `**` in it. */
  readonly path: string;
  readonly format: Format;
  readonly encoding: Encoding;
  /** Where a line names none; default the name of the file. */
  readonly source: string | undefined;
  readonly fields: JsonFields;
}

export interface EventsConfig {
  /** Of the agent's own log. */
  readonly directory: string;
  /** Name or number; undefined: only the agent's user may write its log. */
  readonly group: string | undefined;
  /** `auto`: those that are there. The agent's own is always read. */
  readonly sources: readonly LogName[];
  readonly files: readonly FileLog[];
  /** Of this machine, as the cluster knows it. */
  readonly nodeName: string;
  /** Of the cluster that the agent runs in. */
  readonly kubernetesApi: { readonly host: string; readonly port: number } | undefined;
}

const MAX_FILE_LOGS = 32;

/**
 * A list whose items are paths or mappings; in a flag or a variable paths separated by commas, or such a list as JSON.
 * @returns undefined: it cannot be read
 */
export function readFileLogs(raw: unknown): readonly FileLog[] | undefined {
  const given = (Array.isArray(raw) ? raw : [raw]).flatMap((item) =>
    typeof item === 'string' ? itemsOf(item) : [item],
  );
  const logs = given.map(readFileLog);
  if (!logs.every((log) => log !== undefined) || logs.length > MAX_FILE_LOGS) return undefined;
  // Positions are kept by it.
  return new Set(logs.map(({ path }) => path)).size === logs.length ? logs : undefined;
}

function itemsOf(text: string): unknown[] {
  if (!/^\s*[[{]/.test(text)) return text.split(/,(?![^{}]*\})/).map((item) => item.trim());
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch {
    return [undefined];
  }
}

function readFileLog(item: unknown): FileLog | undefined {
  const value = typeof item === 'string' ? { path: item } : item;
  if (!isObject(value)) return undefined;
  const { path, format = 'plain', encoding = 'utf-8', source, fields = {}, ...more } = value;
  const knownFormat = FORMATS.find((known) => known === format);
  const knownEncoding = ENCODINGS.find((known) => known === encoding);
  const jsonFields = readFields(fields);
  if (typeof path !== 'string' || !isAbsolute(path) || path.length > 4096 || Object.keys(more).length > 0)
    return undefined;
  if (knownFormat === undefined || knownEncoding === undefined || jsonFields === undefined) return undefined;
  if (source !== undefined && !isName(source)) return undefined;
  return { path, format: knownFormat, encoding: knownEncoding, source, fields: jsonFields };
}

function readFields(value: unknown): JsonFields | undefined {
  if (!isObject(value)) return undefined;
  const { message, level, time, source, id, ...more } = value;
  const fields = { message, level, time, source, id };
  if (Object.keys(more).length > 0) return undefined;
  return hasNames(fields) ? fields : undefined;
}

function hasNames(fields: Record<keyof JsonFields, unknown>): fields is Record<keyof JsonFields, string | undefined> {
  return Object.values(fields).every((field) => field === undefined || isName(field));
}

function isName(value: unknown): value is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a name must not have
  return typeof value === 'string' && /^[^\u0000-\u001f\u007f]{1,253}$/.test(value);
}
