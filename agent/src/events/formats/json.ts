import type { EventLevel } from '@openline/packs';
import { isLevel, LEVELS, levelOfSeverity } from '../levels.ts';
import { isObject } from '../read/position.ts';
import type { Parsed } from './format.ts';

/** Where in a JSON line is what; a dot leads into an object. Each absent: the usual names are tried. */
export interface JsonFields {
  readonly message?: string | undefined;
  readonly level?: string | undefined;
  readonly time?: string | undefined;
  readonly source?: string | undefined;
  readonly id?: string | undefined;
}

const USUAL: Readonly<Record<keyof JsonFields, readonly string[]>> = {
  message: ['message', 'msg', 'log', 'text'],
  level: ['level', 'severity', 'lvl', 'levelname', 'log.level'],
  time: ['time', 'timestamp', 'ts', '@timestamp', 'datetime'],
  source: ['source', 'logger', 'service', 'name', 'component'],
  id: ['event_id', 'eventId', 'code'],
};

/** @returns undefined: it is no JSON object, or has no message */
export function parseJson(line: string, fields: JsonFields): Parsed | undefined {
  if (!line.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const object = value;
  const taken = new Set<string>();

  function take<T>(field: keyof JsonFields, read: (found: unknown) => T | undefined): T | undefined {
    const given = fields[field];
    for (const path of given === undefined ? USUAL[field] : [given]) {
      const result = read(at(object, path));
      if (result === undefined) continue;
      taken.add(path);
      return result;
    }
    return undefined;
  }

  const message = take('message', textOf);
  if (message === undefined) return undefined;
  const level = take('level', levelOf);
  const atUnixMs = take('time', timeOf);
  const source = take('source', nameOf);
  const id = take('id', nameOf) ?? '';
  const data = Object.fromEntries(Object.entries(object).filter(([key]) => !taken.has(key)));
  return {
    message,
    id,
    data,
    ...(level === undefined ? {} : { level }),
    ...(atUnixMs === undefined ? {} : { atUnixMs }),
    ...(source === undefined ? {} : { source }),
  };
}

/** A key with that very name comes before a way into an object. */
function at(object: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(object, path)) return object[path];
  let value: unknown = object;
  for (const key of path.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

function nameOf(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && text !== '' ? text.slice(0, 253) : undefined;
}

const NAMES: Readonly<Record<string, EventLevel>> = {
  trace: LEVELS.debug,
  verbose: LEVELS.debug,
  notice: LEVELS.info,
  information: LEVELS.info,
  warn: LEVELS.warning,
  err: LEVELS.error,
  crit: LEVELS.critical,
  fatal: LEVELS.critical,
  alert: LEVELS.critical,
  emerg: LEVELS.critical,
  emergency: LEVELS.critical,
  panic: LEVELS.critical,
};

/** Names as most loggers have them; 0 to 7 as syslog; from 10 on as bunyan and pino. */
export function levelOf(value: unknown): EventLevel | undefined {
  if (typeof value === 'string') {
    const name = value.toLowerCase();
    if (isLevel(name)) return name;
    return Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
  }
  if (typeof value !== 'number') return undefined;
  if (value < 10) return Number.isInteger(value) && value >= 0 && value <= 7 ? levelOfSeverity(value) : undefined;
  if (value >= 60) return LEVELS.critical;
  if (value >= 50) return LEVELS.error;
  if (value >= 40) return LEVELS.warning;
  return value >= 30 ? LEVELS.info : LEVELS.debug;
}

/** RFC 3339 and what else Date reads; numbers as seconds, milliseconds, microseconds or nanoseconds, by their size. */
function timeOf(value: unknown): number | undefined {
  if (typeof value === 'string') {
    const ms = Date.parse(value);
    return Number.isNaN(ms) ? undefined : ms;
  }
  // 1e999 is JSON, too.
  if (typeof value !== 'number' || !(value > 0) || value > 1e21) return undefined;
  for (let ms = value < 1e11 ? value * 1000 : value; ; ms /= 1000) if (ms < 1e14) return Math.trunc(ms);
}
