import { textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { OpenlineError } from '@openline/proto/errors';
import { parseSelector, type Selector } from '../agents/selector.ts';

/** Readers that kinds of declared objects share, besides those of packs. Each reports what does not fit and then gives undefined. */

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

const MAX_SELECTOR_CHARS = 10_000;

/** Which agents: a target expression such as `role=web,env!=prod`. */
export function selectorOf(report: Report, node: Located | undefined, what: string): Selector | undefined {
  const text = textOf(report, node, what, MAX_SELECTOR_CHARS);
  if (node === undefined || text === undefined) return undefined;
  try {
    return parseSelector(text);
  } catch (error) {
    if (!(error instanceof OpenlineError)) throw error;
    const character = Number(/at character (\d+)/.exec(error.message)?.[1] ?? 1);
    const at = node.kind === 'scalar' && node.textAt !== undefined ? node.textAt + character - 1 : node.at;
    const why = error.message.replace(/ at character \d+ of the targets «.*»$/s, '');
    report.add(at, `${what} is no target expression: ${why}`);
    return undefined;
  }
}

export function timeZoneOf(report: Report, node: Located | undefined): string | undefined {
  const text = textOf(report, node, "'timeZone'", 100);
  if (node === undefined || text === undefined) return undefined;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return text;
  } catch {
    report.add(node.at, `'${text}' is no time zone; they are named like Europe/Berlin or UTC`);
    return undefined;
  }
}
