import { DAY_MS, momentsOf, wallTime, weekdayOf } from './wall-clock.ts';

/** When a subscription may tell: pure, by the wall clock of its zone. */

export interface Schedule {
  readonly timeZone: string;
  /** 0: Monday … 6: Sunday. */
  readonly days: ReadonlySet<number>;
  /** Milliseconds since midnight. `to` may be 24 h; where it is not after `from`, the hours end on the next day and belong to the first. */
  readonly hours: readonly { readonly fromMs: number; readonly toMs: number }[];
  /** Days since 1970-01-01 that count as closed. */
  readonly holidays: ReadonlySet<number>;
  /** What is due outside of it: waits until it opens, or is not sent at all. */
  readonly outside: 'hold' | 'skip';
}

/** Nothing opens later than that: holidays for a year on end are nobody's wish. */
const SEARCH_DAYS = 750;

export function isOpen(schedule: Schedule, unixMs: number): boolean {
  const { day, ms } = wallTime(schedule.timeZone, unixMs);
  return (
    (isDay(schedule, day) &&
      schedule.hours.some(({ fromMs, toMs }) => ms >= fromMs && (ms < toMs || toMs <= fromMs))) ||
    (isDay(schedule, day - 1) && schedule.hours.some(({ fromMs, toMs }) => toMs <= fromMs && ms < toMs))
  );
}

function isDay({ days, holidays }: Schedule, day: number): boolean {
  return days.has(weekdayOf(day)) && !holidays.has(day);
}

/** The first moment from `unixMs` on at which it is open; undefined: not in the next two years. */
export function nextOpening(schedule: Schedule, unixMs: number): number | undefined {
  if (isOpen(schedule, unixMs)) return unixMs;
  const today = wallTime(schedule.timeZone, unixMs).day;
  for (let day = today - 1; day <= today + SEARCH_DAYS; day++) {
    if (!isDay(schedule, day)) continue;
    const openings = schedule.hours
      .flatMap(({ fromMs }) => momentsOf(schedule.timeZone, { day, ms: fromMs }))
      // Clocks that go back over the end of the hours open them again at that moment: it shows the beginning once more, or lies within.
      .concat(reopenings(schedule, day))
      .filter((moment) => moment >= unixMs && isOpen(schedule, moment))
      .sort((a, b) => a - b);
    // Hours of the day before may begin later than those of this day only by as much as clocks ever move.
    const [first] = openings;
    if (first !== undefined) return first;
  }
  return undefined;
}

/** Moments at which the clock was put back over an end of this day's hours: it may then show hours that had passed. */
function reopenings({ timeZone, hours }: Schedule, day: number): number[] {
  return hours.flatMap(({ fromMs, toMs }) => {
    const local = (toMs <= fromMs ? day + 1 : day) * DAY_MS + toMs;
    const end = Math.floor(local / DAY_MS);
    const [first, second] = momentsOf(timeZone, { day: end, ms: local - end * DAY_MS });
    return first === undefined || second === undefined ? [] : [jumpBetween(timeZone, first, second)];
  });
}

/** The moment between two others at which the clock is put back. */
function jumpBetween(timeZone: string, first: number, second: number): number {
  const shown = (unixMs: number) => {
    const { day, ms } = wallTime(timeZone, unixMs);
    return day * DAY_MS + ms - unixMs;
  };
  let before = first;
  let after = second;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (shown(middle) === shown(first)) before = middle;
    else after = middle;
  }
  return after;
}

/** The first moment after `unixMs` at which the clock of the zone shows one of these times of day (milliseconds since midnight). */
export function nextTimeOfDay(timeZone: string, timesMs: readonly number[], unixMs: number): number {
  const today = wallTime(timeZone, unixMs).day;
  for (let day = today; ; day++) {
    const found = timesMs
      // Twice when clocks go back over it: the first is meant.
      .flatMap((ms) => momentsOf(timeZone, { day, ms }).slice(0, 1))
      .filter((moment) => moment > unixMs)
      .sort((a, b) => a - b);
    const [first] = found;
    if (first !== undefined) return first;
  }
}

/** The end of the window of this length that `unixMs` lies in; windows are counted from 1970. */
export function windowEnd(everyMs: number, unixMs: number): number {
  return (Math.floor(unixMs / everyMs) + 1) * everyMs;
}
