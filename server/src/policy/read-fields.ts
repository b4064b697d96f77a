import { textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { OpenlineError } from '@openline/proto/errors';
import { parseSelector, type Selector } from '../agents/selector.ts';

/** Fields that the declared objects of policy, health and maintenance share. */

const MAX_SELECTOR_CHARS = 4_096;
const MAX_REASON_CHARS = 1_000;

export interface Selection {
  readonly selector: Selector;
  /** As it was written. */
  readonly text: string;
}

const ALL: Selection = { selector: [], text: 'all' };

/** `on: role=web,env!=prod`. Absent: all agents. */
export function readOn(report: Report, node: Located | undefined): Selection {
  const text = textOf(report, node, "'on'", MAX_SELECTOR_CHARS);
  if (node === undefined || text === undefined) return ALL;
  try {
    return { selector: parseSelector(text), text };
  } catch (error) {
    if (!(error instanceof OpenlineError)) throw error;
    report.add(node.at, error.message.replace(/^\[\w+\] /, ''));
    return ALL;
  }
}

/** For people: why this is so. Absent: empty. */
export function readReason(report: Report, node: Located | undefined): string {
  return textOf(report, node, "'reason'", MAX_REASON_CHARS) ?? '';
}
