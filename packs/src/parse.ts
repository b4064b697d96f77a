import { PackError } from './errors.ts';
import type { Pack } from './pack.ts';
import { choiceOf, entriesOf, fieldsOf, need, textOf } from './read.ts';
import { type Entry, type Located, type Report, readSource } from './source.ts';
import { NAME, NAME_RULE, readTask } from './task.ts';
import { isVersion } from './version.ts';
import { createExpressionReader } from './watch/expressions.ts';
import { readMonitor } from './watch/monitor.ts';
import { readRule } from './watch/rule.ts';

export const API_VERSION = 'openline.dev/v1';
const MOST = { task: 200, rule: 200, monitor: 200 } as const;

/**
 * Reads a pack, and checks everything that can be checked without running it.
 * @param fileName only for the positions in messages
 * @throws PackError PACK_INVALID with every problem found
 */
export function parsePack(content: Uint8Array, fileName: string): Pack {
  const { report, root } = readSource(content);
  const pack = root === undefined ? undefined : readPack(report, root);
  const issues = report.issues();
  if (pack === undefined || issues.length > 0) throw new PackError(fileName, issues);
  return pack;
}

function readPack(report: Report, root: Located): Pack | undefined {
  if (root.kind !== 'map') {
    report.add(root.at, 'a pack is a mapping with apiVersion, kind, metadata, and tasks, rules or monitors');
    return undefined;
  }
  const fields = fieldsOf(report, root, 'the pack', ['apiVersion', 'kind', 'metadata', ...CONTENTS]);
  const apiVersion = need(report, root.at, fields.apiVersion?.value, `the pack needs 'apiVersion: ${API_VERSION}'`);
  choiceOf(report, apiVersion, "'apiVersion'", [API_VERSION]);
  const kind = need(report, root.at, fields.kind?.value, "the pack needs 'kind: Pack'");
  choiceOf(report, kind, "'kind'", ['Pack']);
  const metadata = readMetadata(report, need(report, root.at, fields.metadata?.value, "the pack needs 'metadata'"));
  if (CONTENTS.every((each) => fields[each] === undefined)) {
    report.add(root.at, "the pack needs 'tasks', 'rules' or 'monitors'");
  }
  const tasks = readEach(report, fields.tasks?.value, 'task', (name, entry) => readTask(report, name, entry));
  const context = {
    report,
    expressions: createExpressionReader(report),
    packName: metadata.name,
    tasks,
    tasksSound: report.count() === 0,
  };
  const rules = readEach(report, fields.rules?.value, 'rule', (name, entry) => readRule(context, name, entry));
  const monitors = readEach(report, fields.monitors?.value, 'monitor', (name, entry) =>
    readMonitor(context, name, entry),
  );
  for (const [name, { keyAt }] of entriesOf(report, fields.monitors?.value, "'monitors'")) {
    if (rules.has(name)) report.add(keyAt, `there is a rule '${name}' already; overrides know them by name alone`);
  }
  return { ...metadata, tasks, rules, monitors };
}

const CONTENTS = ['tasks', 'rules', 'monitors'] as const;

function readMetadata(report: Report, node: Located | undefined): Omit<Pack, (typeof CONTENTS)[number]> {
  const fields = fieldsOf(report, node, "'metadata'", ['name', 'version', 'title', 'description']);
  const at = node?.at ?? 0;
  const missing = (field: string) => node?.kind === 'map' && report.add(at, `'metadata' needs '${field}'`);
  if (fields.name === undefined) missing('name');
  if (fields.version === undefined) missing('version');
  if (fields.title === undefined) missing('title');
  const name = textOf(report, fields.name?.value, "'name'", 63) ?? '';
  if (name !== '' && !NAME.test(name)) {
    report.add(fields.name?.value.at ?? at, `'${name}' is no name for a pack: ${NAME_RULE}`);
  }
  const version = textOf(report, fields.version?.value, "'version'", 64) ?? '';
  if (version !== '' && !isVersion(version)) {
    report.add(fields.version?.value.at ?? at, `'${version}' is no semantic version, such as 1.4.0 or 2.0.0-rc.1`);
  }
  return {
    name,
    version,
    title: textOf(report, fields.title?.value, "'title'", 120) ?? '',
    description: textOf(report, fields.description?.value, "'description'", 4000) ?? '',
  };
}

function readEach<T>(
  report: Report,
  node: Located | undefined,
  what: 'task' | 'rule' | 'monitor',
  read: (name: string, entry: Entry) => T,
): ReadonlyMap<string, T> {
  const entries = entriesOf(report, node, `'${what}s'`);
  if (node?.kind === 'map' && entries.size === 0) report.add(node.at, `'${what}s' has no ${what}`);
  if (node !== undefined && entries.size > MOST[what]) report.add(node.at, `a pack has at most ${MOST[what]} ${what}s`);
  return new Map([...entries].map(([name, entry]) => [name, read(name, entry)]));
}
