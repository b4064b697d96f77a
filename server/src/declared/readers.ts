import { textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { formatDuration, parseDuration } from '../config/values.ts';

/** Readers that kinds of declared objects share, besides those of packs. Each reports what does not fit and then gives undefined. */

/** "250ms", "15s", "10m", "1h", "7d" → milliseconds. */
export function durationOf(
  report: Report,
  node: Located | undefined,
  what: string,
  minMs: number,
  maxMs: number,
): number | undefined {
  if (node === undefined) return undefined;
  const text = node.kind === 'scalar' && typeof node.value === 'string' ? node.value : '';
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
  report.add(
    node.at,
    `${what} must be a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 30s or 10m`,
  );
  return undefined;
}

/** One text, or a list of texts. */
export function textsOf(
  report: Report,
  node: Located | undefined,
  what: string,
  maxItems: number,
  maxChars: number,
): { text: string; at: number }[] {
  if (node === undefined) return [];
  const nodes = node.kind === 'list' ? node.items : [node];
  if (nodes.length === 0) report.add(node.at, `${what} is empty`);
  if (nodes.length > maxItems)
    report.add(node.at, `${what} has ${nodes.length} entries; at most ${maxItems} are allowed`);
  return nodes.flatMap((item) => {
    const text = textOf(report, item, what, maxChars);
    return text === undefined ? [] : [{ text, at: item.at }];
  });
}

/** One line: no control characters, so that it can stand in a header. */
export function lineOf(report: Report, node: Located | undefined, what: string, maxChars: number): string | undefined {
  const text = textOf(report, node, what, maxChars);
  if (text === undefined || node === undefined || !/\p{Cc}/u.test(text)) return text;
  report.add(node.at, `${what} must be one line without control characters`);
  return undefined;
}
