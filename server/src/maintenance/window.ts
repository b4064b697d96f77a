import { durationOf, fieldsOf, need, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { Cron } from 'croner';
import type { DeclaredKind } from '../declared/declared.ts';
import { timeZoneOf } from '../declared/readers.ts';
import { readOn, readReason, type Selection } from '../policy/read-fields.ts';

/** Maintenance that comes by itself: at times of a calendar, or once. */
export interface MaintenanceWindowSpec {
  readonly on: Selection;
  readonly reason: string;
  /** Cron's five fields; undefined: it comes once. */
  readonly schedule: string | undefined;
  /** Local time of the zone, "2027-01-05T22:00"; undefined: it comes again and again. */
  readonly starts: string | undefined;
  /** IANA name. */
  readonly timeZone: string;
  readonly forMs: number;
}

export interface Occurrence {
  readonly startsAt: Date;
  readonly endsAt: Date;
}

const MIN_MS = 60_000;
export const MAX_MAINTENANCE_MS = 90 * 24 * 3600 * 1000;
const LOCAL_TIME = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?$/;

export const maintenanceWindowKind: DeclaredKind<MaintenanceWindowSpec> = {
  kind: 'MaintenanceWindow',
  plural: 'maintenancewindows',
  role: 'operator',
  parse(spec, { report }) {
    const fields = fieldsOf(report, spec, "'spec'", ['on', 'reason', 'schedule', 'starts', 'timeZone', 'for']);
    const timeZone = fields.timeZone === undefined ? 'UTC' : timeZoneOf(report, fields.timeZone.value);
    const schedule = textOf(report, fields.schedule?.value, "'schedule'", 200);
    const starts = textOf(report, fields.starts?.value, "'starts'", 30);
    if ((fields.schedule === undefined) === (fields.starts === undefined))
      report.add(spec.at, "'spec' needs either 'schedule' (again and again) or 'starts' (once)");
    if (starts !== undefined && !LOCAL_TIME.test(starts))
      report.add(fields.starts?.value.at ?? spec.at, "'starts' must be a local time such as 2027-01-05T22:00");
    else checkTimes(report, fields.schedule?.value ?? fields.starts?.value, schedule ?? starts, timeZone);
    const bounds = { min: MIN_MS, max: MAX_MAINTENANCE_MS };
    const forMs = durationOf(report, fields.for?.value, "'for'", bounds);
    if (fields.for === undefined) need(report, spec.at, undefined, "'spec' needs 'for': how long it lasts, e.g. 2h");
    return {
      on: readOn(report, need(report, spec.at, fields.on?.value, "'spec' needs 'on': which agents, e.g. all")),
      reason: readReason(report, fields.reason?.value),
      schedule,
      starts,
      timeZone: timeZone ?? 'UTC',
      forMs: forMs ?? MIN_MS,
    };
  },
};

function checkTimes(
  report: Report,
  node: Located | undefined,
  text: string | undefined,
  timeZone: string | undefined,
): void {
  if (node === undefined || text === undefined || timeZone === undefined) return;
  try {
    if (cronOf(text, timeZone).nextRun(new Date(0)) === null) report.add(node.at, `'${text}' never comes`);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^\w+: /, '') : 'unknown';
    report.add(node.at, `'${text}' is no schedule: ${reason}`);
  }
}

function cronOf(text: string, timeZone: string): Cron {
  const options = { timezone: timeZone, paused: true };
  // A time such as 02:30 that a change of the clocks leaves out comes at the change; one that comes twice counts once.
  return LOCAL_TIME.test(text)
    ? new Cron(text.replace(' ', 'T').replace(/T\d{2}:\d{2}$/, '$&:00'), options)
    : new Cron(text, { ...options, mode: '5-part' });
}

/** The occurrence that lasts now: of several that overlap the last that began. */
export function occurrenceAt(window: MaintenanceWindowSpec, now: Date): Occurrence | undefined {
  const [startsAt] = cronOf(timesOf(window), window.timeZone).previousRuns(1, new Date(now.getTime() + 1));
  const occurrence = startsAt && lasting(startsAt, window);
  return occurrence && occurrence.endsAt > now ? occurrence : undefined;
}

export function nextOccurrence(window: MaintenanceWindowSpec, now: Date): Occurrence | undefined {
  const startsAt = cronOf(timesOf(window), window.timeZone).nextRun(now);
  return startsAt === null ? undefined : lasting(startsAt, window);
}

function timesOf({ schedule, starts }: MaintenanceWindowSpec): string {
  return schedule ?? starts ?? '';
}

function lasting(startsAt: Date, { forMs }: MaintenanceWindowSpec): Occurrence {
  return { startsAt, endsAt: new Date(startsAt.getTime() + forMs) };
}
