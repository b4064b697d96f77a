import type { NodeEvent } from '../monitoring.ts';

/** What expressions see of an event. A class, so that the type checker knows the fields, and made once for all that look at the event. */
export class EventView {
  readonly log: string;
  readonly source: string;
  readonly id: string;
  readonly level: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly #atUnixMs: number;

  constructor(event: NodeEvent) {
    this.log = event.log;
    this.source = event.source;
    this.id = event.id;
    this.level = event.level;
    this.message = event.message;
    this.data = event.data;
    this.#atUnixMs = event.atUnixMs;
  }

  get at(): Date {
    return new Date(this.#atUnixMs);
  }

  static readonly fields = {
    log: 'string',
    source: 'string',
    id: 'string',
    level: 'string',
    message: 'string',
    data: 'map',
    at: 'google.protobuf.Timestamp',
  };
}

/** Beyond any horizon that a condition could ask for, and still a number that compares. */
const NEVER_HOURS = 1e9;

/** What expressions see of how a value moves. */
export class TrendView {
  /** The newest value. */
  readonly value: number;
  /** Slope; 0 until there is enough to judge by. */
  readonly per_hour: number;
  /** How much of the movement the line explains, 0 to 1 (R²). */
  readonly fit: number;
  /** Of the time that the trend is over, how much is covered, 0 to 1. */
  readonly covered: number;

  constructor(value: number, perHour: number, fit: number, covered: number) {
    this.value = value;
    this.per_hour = perHour;
    this.fit = fit;
    this.covered = covered;
  }

  /** Hours until the line meets the limit; 0 when the value is there or beyond, as seen from the way it moves; huge when it never will. */
  hoursTo(limit: number): number {
    const distance = limit - this.value;
    if (distance === 0) return 0;
    if (this.per_hour === 0 || distance > 0 !== this.per_hour > 0) return NEVER_HOURS;
    return Math.min(distance / this.per_hour, NEVER_HOURS);
  }

  static readonly fields = { value: 'double', per_hour: 'double', fit: 'double', covered: 'double' };
}
