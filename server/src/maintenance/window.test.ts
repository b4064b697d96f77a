import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSpec, specOf } from '../policy/testing.ts';
import { maintenanceWindowKind, nextOccurrence, occurrenceAt } from './window.ts';

const window = (yaml: string) => specOf(maintenanceWindowKind, yaml);
const at = (text: string) => new Date(text);

describe('a maintenance window', () => {
  it('comes again and again, by the calendar of its time zone', () => {
    const tuesdays = window(
      '{on: role=web, schedule: "0 22 * * TUE", timeZone: Europe/Berlin, for: 4h, reason: patches}',
    );
    expect(tuesdays).toMatchObject({ on: { text: 'role=web' }, reason: 'patches', forMs: 4 * 3_600_000 });
    // 22:00 in Berlin is 20:00 UTC in summer and 21:00 in winter.
    expect(nextOccurrence(tuesdays, at('2027-07-01T00:00Z'))?.startsAt).toEqual(at('2027-07-06T20:00Z'));
    expect(nextOccurrence(tuesdays, at('2027-12-01T00:00Z'))?.startsAt).toEqual(at('2027-12-07T21:00Z'));
  });
  it('lasts from its first moment to just before its end', () => {
    const nightly = window('{on: all, schedule: "0 23 * * *", for: 2h}');
    const occurrence = { startsAt: at('2027-01-01T23:00Z'), endsAt: at('2027-01-02T01:00Z') };
    expect(occurrenceAt(nightly, at('2027-01-01T22:59:59.999Z'))).toBeUndefined();
    expect(occurrenceAt(nightly, at('2027-01-01T23:00Z'))).toEqual(occurrence);
    expect(occurrenceAt(nightly, at('2027-01-02T00:59:59.999Z'))).toEqual(occurrence);
    expect(occurrenceAt(nightly, at('2027-01-02T01:00Z'))).toBeUndefined();
  });
  it('is at every moment either on or to come, whatever its schedule, its zone and the moment', () => {
    const schedules = ['0 22 * * TUE', '30 2 * * *', '*/7 * * * *', '0 0 1 * *', '15 3 * * SUN'];
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
    const minutes = fc.integer({ min: 0, max: 2 * 365 * 24 * 60 });
    fc.assert(
      fc.property(
        fc.constantFrom(...schedules),
        fc.constantFrom(...zones),
        fc.integer({ min: 1, max: 300 }),
        minutes,
        (schedule, timeZone, lastsMinutes, minute) => {
          const spec = window(`{on: all, schedule: "${schedule}", timeZone: ${timeZone}, for: ${lastsMinutes}m}`);
          const now = new Date(Date.UTC(2027, 0, 1) + minute * 60_000 + 30_000);
          const next = nextOccurrence(spec, now);
          expect(next?.startsAt.getTime()).toBeGreaterThan(now.getTime());
          const on = occurrenceAt(spec, now);
          if (on !== undefined) {
            expect(on.startsAt.getTime()).toBeLessThanOrEqual(now.getTime());
            expect(on.endsAt.getTime()).toBeGreaterThan(now.getTime());
          }
          // When the next one has begun it is on, from its first moment to its last.
          const [starts = 0, ends = 0] = [next?.startsAt.getTime(), next?.endsAt.getTime()];
          expect(occurrenceAt(spec, new Date(starts))?.startsAt.getTime()).toBe(starts);
          expect(occurrenceAt(spec, new Date(ends - 1))).toBeDefined();
        },
      ),
      { numRuns: 200 },
    );
  });
  it('that lasts longer than its period is always on', () => {
    const always = window('{on: all, schedule: "0 * * * *", for: 2h}');
    expect(occurrenceAt(always, at('2027-01-01T05:30Z'))).toEqual({
      startsAt: at('2027-01-01T05:00Z'),
      endsAt: at('2027-01-01T07:00Z'),
    });
  });
  it('may come once, in local time', () => {
    const once = window('{on: all, starts: 2027-01-05 22:00, timeZone: Europe/Berlin, for: 90m}');
    expect(nextOccurrence(once, at('2027-01-01T00:00Z'))).toEqual({
      startsAt: at('2027-01-05T21:00Z'),
      endsAt: at('2027-01-05T22:30Z'),
    });
    expect(occurrenceAt(once, at('2027-01-05T22:00Z'))?.startsAt).toEqual(at('2027-01-05T21:00Z'));
    expect(nextOccurrence(once, at('2027-01-06T00:00Z'))).toBeUndefined();
    expect(occurrenceAt(once, at('2027-01-06T00:00Z'))).toBeUndefined();
  });
  it('at a time that the change of the clocks leaves out comes at the change', () => {
    const early = window('{on: all, schedule: "30 2 * * *", timeZone: Europe/Berlin, for: 1h}');
    expect(nextOccurrence(early, at('2027-03-27T12:00Z'))?.startsAt).toEqual(at('2027-03-28T01:00Z'));
  });
  it.each([
    ['{on: all, for: 1h}', "1:1: 'spec' needs either 'schedule'"],
    ['{on: all, schedule: "0 0 * * *", starts: 2027-01-01T00:00, for: 1h}', "1:1: 'spec' needs either 'schedule'"],
    ['{schedule: "0 0 * * *", for: 1h}', "1:1: 'spec' needs 'on'"],
    ['{on: all, schedule: "0 0 * * *"}', "1:1: 'spec' needs 'for'"],
    ['{on: all, schedule: "0 25 * * *", for: 1h}', "1:21: '0 25 * * *' is no schedule: Invalid value for hour: 25"],
    ['{on: all, schedule: "0 0 30 2 *", for: 1h}', "1:21: '0 0 30 2 *' never comes"],
    ['{on: all, schedule: "0 0 * * * *", for: 1h}', '1:21:'],
    ['{on: all, starts: tomorrow, for: 1h}', "1:19: 'starts' must be a local time"],
    ['{on: all, starts: 2027-13-01T00:00, for: 1h}', '1:19:'],
    ['{on: all, schedule: "0 0 * * *", for: 1h, timeZone: Europe/Atlantis}', "1:53: 'Europe/Atlantis' is no time zone"],
    ['{on: all, schedule: "0 0 * * *", for: 10s}', "1:39: 'for' must be a time from 1m"],
  ])('%s is refused with its place', (yaml, problem) => {
    expect(readSpec(maintenanceWindowKind, yaml).problems).toContainEqual(expect.stringContaining(problem));
  });
});
