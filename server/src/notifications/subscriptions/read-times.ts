import { choiceOf, durationOf, fieldsOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { textsOf, timeZoneOf } from '../../declared/readers.ts';
import type { Schedule } from './schedule.ts';
import type { Digest } from './subscription.ts';
import { DAY_MS } from './wall-clock.ts';

const WEEKDAYS: readonly string[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const TIME = /^([01]\d|2[0-4]):([0-5]\d)$/;
const MAX_HOLIDAYS = 500;

/** @param timeZone of the subscription, where the schedule names none */
export function readSchedule(
  report: Report,
  node: Located | undefined,
  timeZone: string | undefined,
): Schedule | undefined {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'schedule'", ['timeZone', 'days', 'hours', 'holidays', 'outside']);
  const zone = timeZoneOf(report, fields.timeZone?.value) ?? timeZone;
  if (zone === undefined && fields.timeZone === undefined) {
    report.add(node.at, "'schedule' needs 'timeZone', such as Europe/Berlin");
  }
  const days = textsOf(report, fields.days?.value, "'days'", 7, 20).flatMap(({ text, at }) => daysOf(report, text, at));
  const hours = textsOf(report, fields.hours?.value, "'hours'", 20, 20).flatMap(({ text, at }) => {
    const [from, to, more] = text.split('-').map((part) => timeOf(part.trim()));
    if (from === undefined || to === undefined || more !== undefined || from === to || from === DAY_MS) {
      report.add(at, "'hours' are spans such as 08:00-18:00, or 22:00-06:00 over midnight");
      return [];
    }
    return { fromMs: from, toMs: to };
  });
  const holidays = textsOf(report, fields.holidays?.value, "'holidays'", MAX_HOLIDAYS, 10).flatMap(({ text, at }) => {
    const day = dayOf(text);
    if (day === undefined) report.add(at, "'holidays' are dates such as 2026-12-25");
    return day ?? [];
  });
  return {
    timeZone: zone ?? 'UTC',
    days: new Set(fields.days === undefined ? WEEKDAYS.keys() : days),
    hours: fields.hours === undefined ? [{ fromMs: 0, toMs: DAY_MS }] : hours,
    holidays: new Set(holidays),
    outside: choiceOf(report, fields.outside?.value, "'outside'", ['hold', 'skip']) ?? 'hold',
  };
}

/** "mon", or "mon-fri" */
function daysOf(report: Report, text: string, at: number): number[] {
  const [from, to = from, more] = text
    .toLowerCase()
    .split('-')
    .map((word) => WEEKDAYS.indexOf(word.trim().slice(0, 3)));
  if (from === undefined || to === undefined || from < 0 || to < 0 || more !== undefined) {
    report.add(at, "'days' are mon, tue, wed, thu, fri, sat, sun, or spans such as mon-fri");
    return [];
  }
  return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, i) => (from + i) % 7);
}

export function readDigest(
  report: Report,
  node: Located | undefined,
  timeZone: string | undefined,
): Digest | undefined {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'digest'", ['every', 'at', 'timeZone']);
  if ((fields.every === undefined) === (fields.at === undefined)) {
    report.add(node.at, "'digest' needs either 'every' or 'at'");
    return undefined;
  }
  const everyMs = durationOf(report, fields.every?.value, "'every'", { min: 60_000, max: DAY_MS });
  if (everyMs !== undefined) return { kind: 'every', everyMs };
  if (fields.at === undefined) return undefined;
  const zone = timeZoneOf(report, fields.timeZone?.value) ?? timeZone;
  if (zone === undefined && fields.timeZone === undefined) {
    report.add(node.at, "'digest' with 'at' needs 'timeZone', such as Europe/Berlin");
  }
  const timesMs = textsOf(report, fields.at.value, "'at'", 24, 5).flatMap(({ text, at }) => {
    const ms = timeOf(text);
    if (ms === undefined || ms === DAY_MS) report.add(at, "'at' are times of day such as 08:00");
    return ms ?? [];
  });
  return { kind: 'at', timesMs, timeZone: zone ?? 'UTC' };
}

function timeOf(text: string): number | undefined {
  const [, hours, minutes] = TIME.exec(text) ?? [];
  const ms = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return ms <= DAY_MS ? ms : undefined;
}

/** Days since 1970-01-01 of a date that there is. */
function dayOf(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? undefined : ms / DAY_MS;
}
