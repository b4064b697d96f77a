/**
 * Wall clocks: what the clock on the wall of a time zone shows, and when it shows something. Pure, with the time zones that Node brings.
 * Days on which clocks are put forward or back need no care of the caller's.
 */

export interface WallTime {
  /** Days since 1970-01-01 of the local calendar. */
  readonly day: number;
  /** Milliseconds since the local midnight, 0 to 86 399 999. */
  readonly ms: number;
}

export const DAY_MS = 86_400_000;
/** No zone is further from UTC, and none ever moved its clocks by more. */
const FAR_MS = 26 * 3_600_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timeZone, format);
  }
  return format;
}

/** How far the zone's wall clock is ahead of UTC at that moment, milliseconds. */
function offsetAt(timeZone: string, unixMs: number): number {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(unixMs)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  const local = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  return local - Math.floor(unixMs / 1000) * 1000;
}

export function wallTime(timeZone: string, unixMs: number): WallTime {
  const local = unixMs + offsetAt(timeZone, unixMs);
  const day = Math.floor(local / DAY_MS);
  return { day, ms: local - day * DAY_MS };
}

/**
 * The moments at which the clock shows this, in their order: usually one; two when clocks are put back over it. When they are put forward
 * over it, the moment at which that happens: the first that is not before it.
 */
export function momentsOf(timeZone: string, { day, ms }: WallTime): readonly number[] {
  const local = day * DAY_MS + ms;
  const offsets = [local - FAR_MS, local + FAR_MS].map((around) => offsetAt(timeZone, around));
  const shows = (unixMs: number) => unixMs + offsetAt(timeZone, unixMs) === local;
  const found = [...new Set(offsets.map((offset) => local - offset))].filter(shows).sort((a, b) => a - b);
  return found.length > 0 ? found : [firstNotBefore(timeZone, local)];
}

/** By halving: the clock jumps over `local` at one moment between these two. */
function firstNotBefore(timeZone: string, local: number): number {
  let before = local - FAR_MS;
  let after = local + FAR_MS;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (middle + offsetAt(timeZone, middle) >= local) after = middle;
    else before = middle;
  }
  return after;
}

/** 0: Monday … 6: Sunday. 1970-01-01 was a Thursday. */
export function weekdayOf(day: number): number {
  return (((day + 3) % 7) + 7) % 7;
}
