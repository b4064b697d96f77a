import type { EventLevel } from '@openline/packs';
import { LEVELS, levelOfSeverity } from '../levels.ts';
import type { Parsed } from './format.ts';

/** A line of a syslog file: RFC 5424, RFC 3164, and what rsyslog writes by default, with or without a priority. */

/** Lines that continue another one, and whatever else is in such a file, have no program: undefined. */
export function parseSyslog(line: string, nowUnixMs: number): Parsed | undefined {
  const [priority = '', digits] = /^<(\d{1,3})>/.exec(line) ?? [];
  const number = digits === undefined ? undefined : Number(digits);
  if (number !== undefined && number > 191) return undefined;
  const level: EventLevel = number === undefined ? LEVELS.info : levelOfSeverity(number % 8);
  const facility = number === undefined ? {} : { facility: Math.floor(number / 8) };
  const rest = line.slice(priority.length);
  const parsed = rest.startsWith('1 ') && priority !== '' ? parse5424(rest) : parse3164(rest, nowUnixMs);
  return parsed && { ...parsed, level, data: { ...facility, ...parsed.data } };
}

const HEADER_5424 = /^1 (\S{1,64}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) /;

/** "-" stands for what is not known. */
const known = (field: string | undefined) => (field === undefined || field === '-' ? undefined : field);

function parse5424(text: string): Parsed | undefined {
  const match = HEADER_5424.exec(text);
  if (!match) return undefined;
  const [header, at, host, app, process, id] = match;
  const atUnixMs = Date.parse(at ?? '');
  const structured = readStructured(text.slice(header.length));
  if (structured === undefined) return undefined;
  const data: Record<string, unknown> = {};
  if (known(host)) data['host'] = host;
  if (known(process)) data['pid'] = pidOf(process);
  if (Object.keys(structured.data).length > 0) data['structured'] = structured.data;
  return {
    ...(Number.isNaN(atUnixMs) ? {} : { atUnixMs }),
    ...(known(app) ? { source: known(app) } : {}),
    id: known(id) ?? '',
    message: structured.rest,
    data,
  };
}

/** `[id name="value" …][…] message`; values escape `"`, `\` and `]`. */
function readStructured(text: string): { data: Record<string, Record<string, string>>; rest: string } | undefined {
  const data: Record<string, Record<string, string>> = {};
  const message = (rest: string) => rest.replace(/^ /, '').replace(/^\ufeff/, '');
  if (text.startsWith('-')) return { data, rest: message(text.slice(1)) };
  let at = 0;
  while (text[at] === '[') {
    const element = /^\[([^\s=\]"]{1,64})/.exec(text.slice(at, at + 66));
    if (!element?.[1]) return undefined;
    at += element[0].length;
    const values: Record<string, string> = {};
    const parameter = / ([^\s=\]"]{1,64})="((?:[^"\\\]]|\\.)*)"/sy;
    parameter.lastIndex = at;
    for (let found = parameter.exec(text); found?.[1] !== undefined; found = parameter.exec(text)) {
      values[found[1]] = (found[2] ?? '').replace(/\\(["\\\]])/g, '$1');
      at = parameter.lastIndex;
    }
    if (text[at] !== ']') return undefined;
    at++;
    data[element[1]] = values;
  }
  return at === 0 ? undefined : { data, rest: message(text.slice(at)) };
}

const HEADER_3164 = /^(?:([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d)|(\d{4}-\d\d-\d\dT\S{8,24})) (\S{1,255}) /;
const TAG = /^([^\s:[\]]{1,64})(?:\[(\d{1,10})\])?: ?/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function parse3164(text: string, nowUnixMs: number): Parsed | undefined {
  const match = HEADER_3164.exec(text);
  if (!match) return undefined;
  const [header, month, day, hours, minutes, seconds, iso, host] = match;
  const clock = [Number(hours), Number(minutes), Number(seconds)] as const;
  const atUnixMs =
    iso === undefined ? withYear(MONTHS.indexOf(month ?? ''), Number(day), clock, nowUnixMs) : Date.parse(iso);
  if (Number.isNaN(atUnixMs)) return undefined;
  const rest = text.slice(header.length);
  const tag = TAG.exec(rest);
  return {
    atUnixMs,
    ...(tag?.[1] === undefined ? {} : { source: tag[1] }),
    id: '',
    message: rest.slice(tag?.[0].length ?? 0),
    data: { host, ...(tag?.[2] === undefined ? {} : { pid: Number(tag[2]) }) },
  };
}

const DAY_MS = 24 * 3600 * 1000;

/** These lines have no year and no zone: the local zone, and the year that is not in the future. */
function withYear(month: number, day: number, clock: readonly [number, number, number], nowUnixMs: number): number {
  if (month === -1) return Number.NaN;
  const year = new Date(nowUnixMs).getFullYear();
  const thisYear = new Date(year, month, day, ...clock).getTime();
  return thisYear > nowUnixMs + DAY_MS ? new Date(year - 1, month, day, ...clock).getTime() : thisYear;
}

function pidOf(text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : text;
}
