import type { Settings } from '../monitoring.ts';
import { booleanOf, entriesOf, type Fields, textOf } from '../read.ts';
import type { Entry, Located, Report } from '../source.ts';
import { NAME, NAME_RULE, readRequires } from '../task.ts';
import type { WatchContext } from './context.ts';

/** Fields that rules and monitors share. */
export const COMMON = ['title', 'description', 'requires', 'enabled', 'settings'] as const;

const MAX_SETTINGS = 32;
const MAX_SETTING_CHARS = 1000;

export function readCommon(
  { report }: WatchContext,
  kind: 'rule' | 'monitor',
  name: string,
  entry: Entry,
  fields: Fields<(typeof COMMON)[number]>,
) {
  if (!NAME.test(name)) report.add(entry.keyAt, `'${name}' is no name for a ${kind}: ${NAME_RULE}`);
  const title = textOf(report, fields.title?.value, "'title'", 120);
  if (fields.title === undefined) report.add(entry.keyAt, `${kind} '${name}' needs a 'title'`);
  return {
    name,
    title: title ?? '',
    description: textOf(report, fields.description?.value, "'description'", 4000) ?? '',
    requires: readRequires(report, fields.requires?.value),
    enabled: booleanOf(report, fields.enabled?.value, "'enabled'") ?? true,
    settings: readSettings(report, fields.settings?.value),
  };
}

function readSettings(report: Report, node: Located | undefined): Settings {
  const entries = entriesOf(report, node, "'settings'");
  if (node !== undefined && entries.size > MAX_SETTINGS) {
    report.add(node.at, `'settings' has ${entries.size} entries; at most ${MAX_SETTINGS} are allowed`);
  }
  const settings: Record<string, number | string | boolean> = {};
  for (const [name, { keyAt, value }] of entries) {
    if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) {
      report.add(keyAt, `'${name}' is no name for a setting: a to z, 0 to 9 and _, beginning with a letter`);
    }
    const given = value.kind === 'scalar' ? value.value : null;
    if (given === null || (typeof given === 'number' && !Number.isFinite(given))) {
      report.add(value.at, `setting '${name}' must be a number, text, true or false`);
    } else if (typeof given === 'string' && (given.length > MAX_SETTING_CHARS || given.includes('\0'))) {
      report.add(value.at, `setting '${name}' has at most ${MAX_SETTING_CHARS} characters, and none of them NUL`);
    } else settings[name] = given;
  }
  return settings;
}
