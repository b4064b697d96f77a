import type { Scope } from '../cel/check.ts';
import { EVENT_LEVELS, type EventMatch } from '../monitoring.ts';
import { choiceOf, fieldsOf, textOf } from '../read.ts';
import { compileSearch, MAX_PATTERN_CHARS } from '../regex.ts';
import type { Located, Report } from '../source.ts';
import type { ExpressionReader } from './expressions.ts';

const MAX_MATCHES = 20;
const MAX_NAMES = 50;
const MAX_NAME_CHARS = 512;

export interface Matches {
  readonly matches: readonly EventMatch[];
  /** Named groups of all their patterns. */
  readonly groups: readonly string[];
}

/** One match, or a list of them, any of which will do. @param scope without groups: each `where` sees those of its own pattern */
export function readMatches(
  report: Report,
  expressions: ExpressionReader,
  node: Located | undefined,
  what: string,
  scope: Scope,
): Matches {
  if (node === undefined) return { matches: [], groups: [] };
  const items = node.kind === 'list' ? node.items : [node];
  if (items.length === 0) report.add(node.at, `${what} lists nothing to match`);
  if (items.length > MAX_MATCHES) report.add(node.at, `${what} has at most ${MAX_MATCHES} entries`);
  const read = items.map((item) => readMatch(report, expressions, item, what, scope));
  return { matches: read.map(({ match }) => match), groups: [...new Set(read.flatMap(({ groups }) => groups))] };
}

function readMatch(report: Report, expressions: ExpressionReader, node: Located, what: string, scope: Scope) {
  const fields = fieldsOf(report, node, what, ['log', 'source', 'id', 'level', 'where', 'pattern']);
  if (node.kind === 'map' && node.entries.size === 0) {
    report.add(node.at, `${what} would match every event; say at least one of log, source, id, level, where, pattern`);
  }
  const { pattern, groups } = readPattern(report, fields.pattern?.value, "'pattern'");
  const match: EventMatch = {
    logs: readNames(report, fields.log?.value, "'log'"),
    sources: readNames(report, fields.source?.value, "'source'"),
    ids: readNames(report, fields.id?.value, "'id'"),
    level: choiceOf(report, fields.level?.value, "'level'", EVENT_LEVELS),
    where: expressions.expression(fields.where?.value, "'where'", { ...scope, groups }, 'bool'),
    pattern,
  };
  return { match, groups };
}

/** A text, or a list of texts. */
function readNames(report: Report, node: Located | undefined, what: string): readonly string[] | undefined {
  if (node === undefined) return undefined;
  const items = node.kind === 'list' ? node.items : [node];
  if (items.length === 0) report.add(node.at, `${what} lists nothing`);
  if (items.length > MAX_NAMES) report.add(node.at, `${what} has at most ${MAX_NAMES} entries`);
  return items.map((item) => textOf(report, item, what, MAX_NAME_CHARS)).filter((name) => name !== undefined);
}

export function readPattern(
  report: Report,
  node: Located | undefined,
  what: string,
): { pattern: string | undefined; groups: readonly string[] } {
  const pattern = textOf(report, node, what, MAX_PATTERN_CHARS);
  if (node === undefined || pattern === undefined) return { pattern: undefined, groups: [] };
  try {
    return { pattern, groups: compileSearch(pattern).groups };
  } catch (error) {
    report.add(node.at, `${what} is no regular expression of RE2: ${error instanceof Error ? error.message : error}`);
    return { pattern: undefined, groups: [] };
  }
}
