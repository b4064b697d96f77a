import { EVENT_LEVELS, type EventLevel, type HealthState, type NodeEvent } from '../monitoring.ts';

/**
 * What an engine remembers between events, one for each value of `by` and each instance. JSON, and never changed in place: what was handed out
 * stays as it was.
 */
export type Remembered = Window | Pending | Instance;

interface Touched {
  /** Rises with each touch, over all of the engine: the lowest is the one to forget first. */
  readonly n: number;
}

/** Of a threshold: the matches that count. */
export interface Window extends Touched {
  readonly k: 'window';
  /** When the last was taken in, by the clock of the machine. */
  readonly seen: number;
  /** When each was raised, rising; fewer than the threshold. */
  readonly times: readonly number[];
  /** The newest few, cut short. */
  readonly events: readonly NodeEvent[];
}

/** Of an absence: what is awaited. */
export interface Pending extends Touched {
  readonly k: 'pending';
  /** When the first event that awaits it was raised. */
  readonly at: number;
  readonly due: number;
  /** Whether it was given time because the engine had not run. */
  readonly graced: boolean;
  readonly count: number;
  readonly events: readonly NodeEvent[];
  readonly match: Readonly<Record<string, string>>;
}

/** Of a monitor: how one thing that it watches is. */
export interface Instance extends Touched {
  readonly k: 'instance';
  readonly state: HealthState;
  /** The probe says nothing (any more); `state` is what it was before. */
  readonly unknown: boolean;
  /** Samples in a row that were at least warning, that were critical, and that failed. */
  readonly rows: readonly [warning: number, critical: number, failed: number];
  /** Samples in a row that did not speak of it. */
  readonly missing: number;
  /** When an event last said that it is bad; 0: never. */
  readonly badAt: number;
  /** Which trend the points are of; points of another are not taken on. */
  readonly trend: string;
  readonly points: readonly (readonly [atUnixMs: number, value: number])[];
}

/** About one for each number, more for an event: for the bound on all together. */
export function weightOf(entry: Remembered): number {
  switch (entry.k) {
    case 'window':
      return 1 + entry.times.length + EVENT_WEIGHT * entry.events.length;
    case 'pending':
      return 1 + EVENT_WEIGHT * entry.events.length;
    case 'instance':
      return 1 + entry.points.length;
    default:
      return entry satisfies never;
  }
}

const EVENT_WEIGHT = 20;
/** Beside the one that is at hand. */
const KEPT_EVENTS = 4;
const KEPT_MESSAGE_CHARS = 500;
const KEPT_FIELDS = 16;
const KEPT_FIELD_CHARS = 200;

/** The newest few with one more, cut to what may be remembered of many. */
export function keep(events: readonly NodeEvent[], event: NodeEvent): readonly NodeEvent[] {
  return [...events.slice(1 - KEPT_EVENTS), cut(event)];
}

function cut(event: NodeEvent): NodeEvent {
  const fields = Object.entries(event.data).slice(0, KEPT_FIELDS);
  const flat = fields.filter(([, value]) => typeof value !== 'object' || value === null);
  return {
    ...event,
    source: short(event.source, KEPT_FIELD_CHARS),
    id: short(event.id, KEPT_FIELD_CHARS),
    message: short(event.message, KEPT_MESSAGE_CHARS),
    data: Object.fromEntries(
      flat.map(([key, value]) => [key, typeof value === 'string' ? short(value, KEPT_FIELD_CHARS) : value]),
    ),
  };
}

/** A copy: a slice would keep the whole text in memory. */
function short(text: string, chars: number): string {
  return text.length <= chars ? text : Buffer.from(text.slice(0, chars)).toString();
}

/** What a saved state says, when it is what this engine would have saved; otherwise nothing. */
export function readRemembered(raw: unknown): Remembered | undefined {
  if (!isRecord(raw) || !isCount(raw['n'])) return undefined;
  switch (raw['k']) {
    case 'window':
      return isWindow(raw) ? raw : undefined;
    case 'pending':
      return isPending(raw) ? raw : undefined;
    case 'instance':
      return isInstance(raw) ? raw : undefined;
    default:
      return undefined;
  }
}

type Raw = Record<string, unknown>;

function isWindow(raw: Raw): raw is Raw & Window {
  return isTime(raw['seen']) && isListOf(raw['times'], isTime) && isListOf(raw['events'], isEvent);
}

function isPending(raw: Raw): raw is Raw & Pending {
  return (
    isTime(raw['at']) &&
    isTime(raw['due']) &&
    typeof raw['graced'] === 'boolean' &&
    isCount(raw['count']) &&
    isListOf(raw['events'], isEvent) &&
    isRecord(raw['match']) &&
    Object.values(raw['match']).every(isText)
  );
}

function isInstance(raw: Raw): raw is Raw & Instance {
  return (
    (raw['state'] === 'healthy' || raw['state'] === 'warning' || raw['state'] === 'critical') &&
    typeof raw['unknown'] === 'boolean' &&
    isListOf(raw['rows'], isCount) &&
    raw['rows'].length === 3 &&
    isCount(raw['missing']) &&
    isTime(raw['badAt']) &&
    isText(raw['trend']) &&
    isListOf(raw['points'], (point) => isListOf(point, isTime) && point.length === 2)
  );
}

function isEvent(raw: unknown): raw is NodeEvent {
  return (
    isRecord(raw) &&
    isText(raw['log']) &&
    isText(raw['source']) &&
    isText(raw['id']) &&
    EVENT_LEVELS.includes(raw['level'] as EventLevel) &&
    isTime(raw['atUnixMs']) &&
    isText(raw['message']) &&
    isRecord(raw['data'])
  );
}

function isRecord(raw: unknown): raw is Raw {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw);
}

function isListOf<T>(raw: unknown, isItem: (item: unknown) => item is T): raw is readonly T[];
function isListOf(raw: unknown, isItem: (item: unknown) => boolean): raw is readonly unknown[];
function isListOf(raw: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(raw) && raw.every(isItem);
}

function isText(raw: unknown): raw is string {
  return typeof raw === 'string';
}

function isCount(raw: unknown): raw is number {
  return Number.isSafeInteger(raw) && Number(raw) >= 0;
}

function isTime(raw: unknown): raw is number {
  return typeof raw === 'number' && Number.isFinite(raw);
}
