import { basename } from 'node:path';
import type { EventLevel, NodeEvent } from '@openline/packs';
import { LEVELS } from '../levels.ts';
import { boundedEvent } from '../read/bounds.ts';
import { type JsonFields, parseJson } from './json.ts';
import { parseSyslog } from './syslog.ts';

export const FORMATS = ['plain', 'syslog', 'json'] as const;
export type Format = (typeof FORMATS)[number];

/** What a line says; what it does not say comes from the configuration. */
export interface Parsed {
  readonly message: string;
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly level?: EventLevel;
  readonly atUnixMs?: number;
  readonly source?: string | undefined;
}

export interface FormatOptions {
  readonly format: Format;
  /** Where a line names no program; default the name of the file, without what follows its first dot. */
  readonly source: string | undefined;
  /** Of json. */
  readonly fields: JsonFields;
  /** Default `file:<path>`. */
  readonly log?: string | undefined;
}

/** @param truncated the line was longer */
export type ToEvent = (line: string, path: string, nowUnixMs: number, truncated: boolean) => NodeEvent;

/** A line that is not in the format is an event all the same, with the whole line as its message. */
export function toEventOf({ format, source, fields, log }: FormatOptions): ToEvent {
  return (line, path, nowUnixMs, truncated) => {
    const parsed = parse(format, line, nowUnixMs, fields) ?? { message: line, id: '', data: {} };
    const event = {
      log: log ?? `file:${path}`,
      source: parsed.source ?? source ?? nameOf(path),
      id: parsed.id,
      level: parsed.level ?? LEVELS.info,
      atUnixMs: parsed.atUnixMs ?? nowUnixMs,
      message: parsed.message,
      data: parsed.data,
    };
    return boundedEvent(event, truncated);
  };
}

function parse(format: Format, line: string, nowUnixMs: number, fields: JsonFields): Parsed | undefined {
  switch (format) {
    case 'plain':
      return undefined;
    case 'syslog':
      return parseSyslog(line, nowUnixMs);
    case 'json':
      return parseJson(line, fields);
    default:
      return format satisfies never;
  }
}

function nameOf(path: string): string {
  return basename(path).replace(/(?!^)\..*$/, '');
}
