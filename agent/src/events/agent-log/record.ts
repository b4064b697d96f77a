import type { EventLevel, NodeEvent } from '@openline/packs';
import { isLevel, LEVELS } from '../levels.ts';
import { boundedEvent, MAX_MESSAGE_CHARS } from '../read/bounds.ts';
import { isObject } from '../read/position.ts';

/** One event of the agent's own event log, a line of JSON. */
export interface LoggedEvent {
  /** Unique: what `openline event` prints. */
  readonly uid: string;
  /** RFC 3339 */
  readonly at: string;
  /** What raised it. */
  readonly source: string;
  /** The source's own name or number for events of this kind; may be empty. */
  readonly id: string;
  readonly level: EventLevel;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type NewEvent = Omit<LoggedEvent, 'uid' | 'at'>;

/** Of one record with everything in it, as UTF-8. Less than READ_BYTES, so that none is ever cut. */
export const MAX_RECORD_BYTES = 48 * 1024;
const MAX_NAME_CHARS = 253;

/** Ends a segment: what stands behind it was written too late, and stands in the next segment again. */
const SEAL = '{"sealed":';

/**
 * Each write begins with an end of line, too: half a record, of a writer that died, does not spoil the next one.
 * No text of an event can look like this: it has no line ends.
 */
export const SEAL_BYTES = Buffer.from(`\n${SEAL}`);
/** What a write of records begins with. */
export const markerOf = (event: LoggedEvent) => Buffer.from(`\n{"uid":${JSON.stringify(event.uid)}`);

export function sealLine(unixMs: number): Buffer {
  return Buffer.from(`\n${SEAL}${unixMs}}\n`);
}

/** Without line ends. */
export function recordOf({ uid, at, source, id, level, message, data }: LoggedEvent): string {
  return JSON.stringify({ uid, at, source, id, level, message, data });
}

/** What is wrong with an event that somebody wants to write, for people; undefined: nothing. */
export function problemOf({ source, id, message }: NewEvent): string | undefined {
  if (!isName(source) || source === '')
    return `source: expected 1 to ${MAX_NAME_CHARS} characters, none of them a control character`;
  if (!isName(id)) return `id: expected at most ${MAX_NAME_CHARS} characters, none of them a control character`;
  if (message === '') return 'message: is empty';
  if (message.length > MAX_MESSAGE_CHARS) return `message: is longer than ${MAX_MESSAGE_CHARS} characters`;
  return undefined;
}

function isName(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a name must not have
  return text.length <= MAX_NAME_CHARS && !/[\u0000-\u001f\u007f]/.test(text);
}

/** What a person or program gives for an event: all but the message may be left out. @returns what is wrong with it, for people */
export function newEvent(given: Readonly<Record<string, unknown>>): NewEvent | string {
  const { source = 'openline', id = '', level = LEVELS.info, message, data = {}, ...more } = given;
  const unknown = Object.keys(more)[0];
  if (unknown !== undefined) return `${unknown}: there is no such field; expected message, level, source, id, data`;
  if (typeof message !== 'string') return 'message: expected text';
  if (typeof source !== 'string') return 'source: expected text';
  // A number is what many call their kinds of events by.
  const name = typeof id === 'number' ? String(id) : id;
  if (typeof name !== 'string') return 'id: expected text or a number';
  if (!isLevel(level)) return `level: expected one of ${Object.keys(LEVELS).join(', ')}`;
  if (!isObject(data)) return 'data: expected a JSON object';
  const event = { source, id: name, level, message, data };
  return problemOf(event) ?? event;
}

/** A line as the rules read it; undefined: it is no event. Whoever may write the file may write anything. */
export function parseRecord(line: string): NodeEvent | undefined {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(record)) return undefined;
  const { at, source, id, level, message, data } = record;
  const atUnixMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(atUnixMs) || typeof source !== 'string' || typeof id !== 'string') return undefined;
  if (!isLevel(level) || typeof message !== 'string' || !isObject(data)) return undefined;
  return boundedEvent({ log: 'agent', source, id, level, atUnixMs, message, data });
}
