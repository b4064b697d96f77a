import { TrendView } from '../cel/views.ts';

/** Points of a value over a time, newest last; few enough to be remembered for each of many instances. Pure. */
export type Points = readonly (readonly [atUnixMs: number, value: number])[];

const MAX_POINTS = 48;
/** Fewer, or over a smaller part of the time, say nothing. */
const MIN_POINTS = 4;
const MIN_COVERED = 0.25;
const HOUR_MS = 3_600_000;

/**
 * Takes a value in. Points closer together than the time allows are one, the newest: the last point always says how it is now.
 * Points from the future were taken before the clock was set back, and go.
 */
export function withPoint(points: Points, atUnixMs: number, value: number, overMs: number): Points {
  const valid = points.filter(([at]) => at <= atUnixMs && at > atUnixMs - overMs);
  const beforeLast = valid.at(-2);
  const spacing = overMs / MAX_POINTS;
  const last = valid.at(-1);
  const replaces = last !== undefined && beforeLast !== undefined && last[0] - beforeLast[0] < spacing;
  const kept = replaces ? valid.slice(0, -1) : valid;
  return [...kept.slice(-MAX_POINTS), [atUnixMs, value]];
}

/** Least squares over the points. */
export function trendOf(points: Points, overMs: number): TrendView {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return new TrendView(0, 0, 0, 0);
  const covered = Math.min((last[0] - first[0]) / overMs, 1);
  if (points.length < MIN_POINTS || covered < MIN_COVERED) return new TrendView(last[1], 0, 0, covered);
  const count = points.length;
  // From the first point on: unix milliseconds squared would cost the precision.
  const hours = points.map(([at]) => (at - first[0]) / HOUR_MS);
  const meanHours = sum(hours) / count;
  const meanValue = sum(points.map(([, value]) => value)) / count;
  const spreadHours = sum(hours.map((hour) => (hour - meanHours) ** 2));
  const spreadValue = sum(points.map(([, value]) => (value - meanValue) ** 2));
  const together = sum(points.map(([, value], i) => (value - meanValue) * ((hours[i] ?? 0) - meanHours)));
  const slope = spreadHours === 0 ? 0 : together / spreadHours;
  const fit = spreadValue === 0 || spreadHours === 0 ? 0 : together ** 2 / (spreadHours * spreadValue);
  return new TrendView(last[1], slope, fit, covered);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
