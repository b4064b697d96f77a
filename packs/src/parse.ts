import { PackError } from './errors.ts';
import type { Pack, PackTask } from './pack.ts';
import { choiceOf, entriesOf, fieldsOf, need, textOf } from './read.ts';
import { type Located, type Report, readSource } from './source.ts';
import { NAME, NAME_RULE, readTask } from './task.ts';
import { isVersion } from './version.ts';

export const API_VERSION = 'openline.dev/v1';
const MAX_TASKS = 200;

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
    report.add(root.at, 'a pack is a mapping with apiVersion, kind, metadata and tasks');
    return undefined;
  }
  const fields = fieldsOf(report, root, 'the pack', ['apiVersion', 'kind', 'metadata', 'tasks']);
  const apiVersion = need(report, root.at, fields.apiVersion?.value, `the pack needs 'apiVersion: ${API_VERSION}'`);
  choiceOf(report, apiVersion, "'apiVersion'", [API_VERSION]);
  const kind = need(report, root.at, fields.kind?.value, "the pack needs 'kind: Pack'");
  choiceOf(report, kind, "'kind'", ['Pack']);
  const metadata = need(report, root.at, fields.metadata?.value, "the pack needs 'metadata'");
  const tasks = need(report, root.at, fields.tasks?.value, "the pack needs 'tasks'");
  return { ...readMetadata(report, metadata), tasks: readTasks(report, tasks) };
}

function readMetadata(report: Report, node: Located | undefined): Omit<Pack, 'tasks'> {
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

function readTasks(report: Report, node: Located | undefined): ReadonlyMap<string, PackTask> {
  const entries = entriesOf(report, node, "'tasks'");
  if (node?.kind === 'map' && entries.size === 0) report.add(node.at, "'tasks' has no task");
  if (node !== undefined && entries.size > MAX_TASKS) report.add(node.at, `a pack has at most ${MAX_TASKS} tasks`);
  return new Map([...entries].map(([name, entry]) => [name, readTask(report, name, entry)]));
}
