import { textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import type { Selector } from '../agents/selector.ts';
import { selectorOf } from '../declared/readers.ts';

/** Fields that the declared objects of policy, health and maintenance share. */

const MAX_REASON_CHARS = 1_000;

export interface Selection {
  readonly selector: Selector;
  /** As it was written. */
  readonly text: string;
}

const ALL: Selection = { selector: [], text: 'all' };

/** `on: role=web,env!=prod`. Absent: all agents. */
export function readOn(report: Report, node: Located | undefined): Selection {
  const selector = selectorOf(report, node, "'on'");
  if (selector === undefined || node?.kind !== 'scalar') return ALL;
  return { selector, text: String(node.value) };
}

/** For people: why this is so. Absent: empty. */
export function readReason(report: Report, node: Located | undefined): string {
  return textOf(report, node, "'reason'", MAX_REASON_CHARS) ?? '';
}
