import { SEVERITIES, type Settings, type Severity } from '@openline/packs';
import { booleanOf, choiceOf, durationOf, entriesOf, fieldsOf, integerOf, need, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import type { DeclaredKind } from '../declared/declared.ts';
import { readOn, readReason, type Selection } from './read-fields.ts';

/** What holds instead of what a pack says, on the agents that it selects. Kept apart from the signed pack. */
export interface OverrideSpec {
  readonly pack: string;
  /** Of the rule or monitor. */
  readonly watch: string;
  readonly on: Selection;
  /** Between selectors that are equally specific the higher one wins. */
  readonly priority: number;
  readonly enabled: boolean | undefined;
  readonly severity: Severity | undefined;
  /** The watch's own settings, and those of its condition and schedule: `threshold.count`, `every_ms`, … */
  readonly settings: Settings;
  readonly reason: string;
  /** Where it says so, for what is found wrong later: offsets of `watch`, and of each of the settings. */
  readonly at: { readonly watch: number; readonly settings: Readonly<Record<string, number>> };
}

const WATCH = /^([a-z][a-z0-9-]{0,62})\/([a-z][a-z0-9-]{0,62})$/;
const SETTING = /^[a-z][a-z0-9_]{0,62}$/;
/** What may also be written among the settings, as in a pack's tests. */
const KNOBS: ReadonlySet<string> = new Set([
  'threshold.count',
  'threshold.within_ms',
  'absence.within_ms',
  'every_ms',
  'samples',
  'reset.after_ms',
]);
const MAX_SETTINGS = 32;
const MAX_TEXT_CHARS = 1_000;
const DAY_MS = 24 * 3600 * 1000;
export const MAX_PRIORITY = 1_000;

const FIELDS = [
  'watch',
  'on',
  'priority',
  'reason',
  'enabled',
  'severity',
  'settings',
  'threshold',
  'absence',
  'every',
  'samples',
  'resetAfter',
] as const;

export const overrideKind: DeclaredKind<OverrideSpec> = {
  kind: 'Override',
  plural: 'overrides',
  role: 'admin',
  parse(spec, { report }) {
    const fields = fieldsOf(report, spec, "'spec'", FIELDS);
    const node = need(report, spec.at, fields.watch?.value, "'spec' needs 'watch': pack/rule or pack/monitor");
    const text = textOf(report, node, "'watch'", 200);
    const [, pack = '', watch = ''] = WATCH.exec(text ?? '') ?? [];
    if (node !== undefined && text !== undefined && pack === '')
      report.add(node.at, `'${text}' names no rule or monitor: write pack/rule or pack/monitor`);
    const settingsAt: Record<string, number> = {};
    const override: OverrideSpec = {
      pack,
      watch,
      on: readOn(report, fields.on?.value),
      priority: integerOf(report, fields.priority?.value, "'priority'", -MAX_PRIORITY, MAX_PRIORITY) ?? 0,
      enabled: booleanOf(report, fields.enabled?.value, "'enabled'"),
      severity: choiceOf(report, fields.severity?.value, "'severity'", SEVERITIES),
      settings: {
        ...readSettings(report, fields.settings?.value, settingsAt),
        ...readThreshold(report, fields.threshold?.value),
        ...readAbsence(report, fields.absence?.value),
        ...knob('every_ms', durationOf(report, fields.every?.value, "'every'", { min: 1_000, max: DAY_MS })),
        ...knob('samples', integerOf(report, fields.samples?.value, "'samples'", 1, 100)),
        ...knob(
          'reset.after_ms',
          durationOf(report, fields.resetAfter?.value, "'resetAfter'", { min: 1_000, max: 7 * DAY_MS }),
        ),
      },
      reason: readReason(report, fields.reason?.value),
      at: { watch: node?.at ?? spec.at, settings: settingsAt },
    };
    for (const [name, field] of [
      ['threshold.count', fields.threshold],
      ['threshold.within_ms', fields.threshold],
      ['absence.within_ms', fields.absence],
      ['every_ms', fields.every],
      ['samples', fields.samples],
      ['reset.after_ms', fields.resetAfter],
    ] as const)
      if (field !== undefined) settingsAt[name] = field.keyAt;
    if (
      override.enabled === undefined &&
      override.severity === undefined &&
      Object.keys(override.settings).length === 0
    )
      report.add(spec.at, "it changes nothing: say 'enabled', 'severity', 'settings', 'threshold', 'every', …");
    return override;
  },
};

/** @param at gets where each of them stands */
function readSettings(report: Report, node: Located | undefined, at: Record<string, number>): Settings {
  const entries = entriesOf(report, node, "'settings'");
  if (node !== undefined && entries.size > MAX_SETTINGS)
    report.add(node.at, `'settings' has ${entries.size} entries; at most ${MAX_SETTINGS} are allowed`);
  const settings: Record<string, Settings[string]> = {};
  for (const [name, { keyAt, value }] of entries) {
    at[name] = keyAt;
    if (!SETTING.test(name) && !KNOBS.has(name)) report.add(keyAt, `'${name}' is no name for a setting`);
    const given = value.kind === 'scalar' ? value.value : null;
    if (given === null || (typeof given === 'number' && !Number.isFinite(given)))
      report.add(value.at, `setting '${name}' must be a number, text, true or false`);
    else if (typeof given === 'string' && (given.length > MAX_TEXT_CHARS || given.includes('\0')))
      report.add(value.at, `setting '${name}' has at most ${MAX_TEXT_CHARS} characters, and none of them NUL`);
    else settings[name] = given;
  }
  return settings;
}

function readThreshold(report: Report, node: Located | undefined): Settings {
  const fields = fieldsOf(report, node, "'threshold'", ['count', 'within']);
  return {
    ...knob('threshold.count', integerOf(report, fields.count?.value, "'count'", 1, 100_000)),
    ...knob('threshold.within_ms', durationOf(report, fields.within?.value, "'within'", { min: 1_000, max: DAY_MS })),
  };
}

function readAbsence(report: Report, node: Located | undefined): Settings {
  const fields = fieldsOf(report, node, "'absence'", ['within']);
  return knob('absence.within_ms', durationOf(report, fields.within?.value, "'within'", { min: 1_000, max: DAY_MS }));
}

function knob(name: string, value: number | undefined): Settings {
  return value === undefined ? {} : { [name]: value };
}
