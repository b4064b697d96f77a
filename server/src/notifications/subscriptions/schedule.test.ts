import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOpen, nextOpening, nextTimeOfDay, type Schedule, windowEnd } from './schedule.ts';
import { momentsOf, wallTime } from './wall-clock.ts';

const H = 3_600_000;
const MIN = 60_000;
const WORK: Schedule = {
  timeZone: 'Europe/Berlin',
  days: new Set([0, 1, 2, 3, 4]),
  hours: [{ fromMs: 8 * H, toMs: 18 * H }],
  holidays: new Set([Date.parse('2026-12-25Z') / (24 * H)]),
  outside: 'hold',
};
const at = (iso: string) => Date.parse(iso);
const opens = (schedule: Schedule, iso: string) => {
  const next = nextOpening(schedule, at(iso));
  return next === undefined ? undefined : new Date(next).toISOString();
};

describe('working hours', () => {
  it('begin with their first moment and end before their last, by the wall clock of the zone', () => {
    // Berlin is at +1 in winter and +2 in summer.
    expect(isOpen(WORK, at('2026-11-23T07:00:00Z'))).toBe(true);
    expect(isOpen(WORK, at('2026-11-23T06:59:59.999Z'))).toBe(false);
    expect(isOpen(WORK, at('2026-11-23T16:59:59.999Z'))).toBe(true);
    expect(isOpen(WORK, at('2026-11-23T17:00:00Z'))).toBe(false);
    expect(isOpen(WORK, at('2026-07-20T06:00:00Z'))).toBe(true);
  });

  it('open again after a night, a weekend and a holiday', () => {
    expect(opens(WORK, '2026-11-23T20:00:00Z')).toBe('2026-11-24T07:00:00.000Z');
    expect(opens(WORK, '2026-11-20T20:00:00Z')).toBe('2026-11-23T07:00:00.000Z');
    // The 25th is a holiday and a Friday.
    expect(opens(WORK, '2026-12-24T20:00:00Z')).toBe('2026-12-28T07:00:00.000Z');
    expect(opens(WORK, '2026-11-23T12:34:56Z')).toBe('2026-11-23T12:34:56.000Z');
  });

  it('over midnight belong to the day on which they begin', () => {
    const night = { ...WORK, hours: [{ fromMs: 22 * H, toMs: 6 * H }] };
    expect(isOpen(night, at('2026-11-28T03:00:00Z'))).toBe(true); // Friday night
    expect(isOpen(night, at('2026-11-28T22:00:00Z'))).toBe(false); // Saturday night
    expect(isOpen(night, at('2026-11-23T03:00:00Z'))).toBe(false); // Sunday night, into Monday
    expect(opens(night, '2026-11-28T12:00:00Z')).toBe('2026-11-30T21:00:00.000Z');
  });

  it('never open when every day is closed', () => {
    expect(nextOpening({ ...WORK, days: new Set() }, at('2026-01-01T00:00:00Z'))).toBeUndefined();
  });
});

describe('the night in which clocks change', () => {
  const every = { ...WORK, days: new Set([0, 1, 2, 3, 4, 5, 6]) };

  it('opens when clocks are put forward into the hours, and not at all when over them', () => {
    // 2026-03-29: 02:00 becomes 03:00 at 01:00Z.
    const half = { ...every, hours: [{ fromMs: 2.5 * H, toMs: 4 * H }] };
    expect(opens(half, '2026-03-28T23:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
    const over = { ...every, hours: [{ fromMs: 2 * H, toMs: 3 * H }] };
    expect(opens(over, '2026-03-28T23:00:00Z')).toBe('2026-03-30T00:00:00.000Z');
  });

  it('opens twice when clocks are put back over the hours', () => {
    // 2026-10-25: 03:00 becomes 02:00 at 01:00Z; 02:15 is at 00:15Z and at 01:15Z.
    const quarter = { ...every, hours: [{ fromMs: 2.25 * H, toMs: 2.5 * H }] };
    expect(opens(quarter, '2026-10-24T23:00:00Z')).toBe('2026-10-25T00:15:00.000Z');
    expect(opens(quarter, '2026-10-25T00:40:00Z')).toBe('2026-10-25T01:15:00.000Z');
    const until = { ...every, hours: [{ fromMs: 0, toMs: 2.5 * H }] };
    expect(opens(until, '2026-10-25T00:40:00Z')).toBe('2026-10-25T01:00:00.000Z');
    const saturdays = { ...every, days: new Set([5]), hours: [{ fromMs: 22 * H, toMs: 2.5 * H }] };
    expect(opens(saturdays, '2026-10-25T00:40:00Z')).toBe('2026-10-25T01:00:00.000Z');
  });
});

const zones = [
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kolkata',
  'America/Sao_Paulo',
  'UTC',
  'Pacific/Apia',
];
const halfHour = fc.integer({ min: 0, max: 47 }).map((n) => n * 30 * MIN);
const schedules: fc.Arbitrary<Schedule> = fc.record({
  timeZone: fc.constantFrom(...zones),
  days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 7 }).map((days) => new Set(days)),
  hours: fc.array(fc.record({ fromMs: halfHour, toMs: halfHour.map((ms) => ms + 30 * MIN) }), {
    minLength: 1,
    maxLength: 3,
  }),
  holidays: fc.uniqueArray(fc.integer({ min: 20_500, max: 20_900 }), { maxLength: 5 }).map((days) => new Set(days)),
  outside: fc.constant<'hold'>('hold'),
});
/** Much of it near changes of clocks. */
const moments = fc.oneof(
  fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2027-01-01T00:00:00Z') }),
  fc
    .tuple(
      fc.constantFrom(
        '2026-03-29T01:00:00Z',
        '2026-10-25T01:00:00Z',
        '2026-03-08T07:00:00Z',
        '2026-11-01T06:00:00Z',
        '2026-04-04T15:00:00Z',
        '2026-10-03T15:30:00Z',
      ),
      fc.integer({ min: -300, max: 300 }),
    )
    .map(([near, minutes]) => at(near) + minutes * MIN),
);

describe('any schedule', () => {
  it('opens next at the first minute at which it is open', () => {
    fc.assert(
      fc.property(schedules, moments, (schedule, from) => {
        // Zones and hours have whole half hours, so a walk in minutes misses nothing.
        const start = Math.ceil(from / MIN) * MIN;
        let walked: number | undefined;
        for (let t = start; t < start + 9 * 24 * H && walked === undefined; t += 10 * MIN)
          if (isOpen(schedule, t)) walked = t;
        const next = nextOpening(schedule, start);
        if (walked === undefined) return next === undefined || next > start + 9 * 24 * H - 10 * MIN;
        return (
          next !== undefined && next <= walked && next > walked - 10 * MIN && next >= start && isOpen(schedule, next)
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('a time of day', () => {
  it('comes once a day, also when clocks change over it', () => {
    const next = (iso: string) => new Date(nextTimeOfDay('Europe/Berlin', [2.5 * H, 16 * H], at(iso))).toISOString();
    expect(next('2026-03-28T16:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
    expect(next('2026-03-29T01:00:00Z')).toBe('2026-03-29T14:00:00.000Z');
    expect(next('2026-10-24T16:00:00Z')).toBe('2026-10-25T00:30:00.000Z');
    expect(next('2026-10-25T00:30:00Z')).toBe('2026-10-25T15:00:00.000Z');
  });
});

describe('a wall clock', () => {
  it('shows at each of its moments what they were asked for', () => {
    fc.assert(
      fc.property(fc.constantFrom(...zones), moments, (zone, unixMs) => {
        const shown = wallTime(zone, unixMs);
        return momentsOf(zone, shown).includes(unixMs);
      }),
    );
  });

  it('ends windows after what lies in them', () => {
    expect(windowEnd(15 * MIN, at('2026-01-01T00:00:00Z'))).toBe(at('2026-01-01T00:15:00Z'));
    expect(windowEnd(15 * MIN, at('2026-01-01T00:14:59.999Z'))).toBe(at('2026-01-01T00:15:00Z'));
  });
});
