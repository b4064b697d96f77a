import type { Heartbeat } from '@openline/proto/agent';

/**
 * The parts of an agent that do its work. An agent whose event loop answers while its executor or its rule engine hangs is not healthy; its
 * heartbeat tells. Pure.
 */
export const PARTS = ['executor', 'rules'] as const;
export type Part = (typeof PARTS)[number];

/** Absent: well. It takes two heartbeats of one mind to change it, so that a moment's hiccup makes no alert. */
export type PartState =
  | { readonly kind: 'suspect'; readonly problem: string }
  | { readonly kind: 'bad'; readonly problem: string }
  /** One heartbeat said that it is well again. */
  | { readonly kind: 'mending'; readonly problem: string };

/** Each part proves that it works every 10 s, also when it has nothing to do. */
const STALE_MS = 35_000;
const MAX_FAULT_CHARS = 500;

/** How the fault of a heartbeat begins, by the part that it is one of. A log that cannot be read is no fault of either. */
const FAULTS = { executor: /^journal\b/, rules: /^(rule engine|event spool)\b/ } as const satisfies Record<
  Part,
  RegExp
>;

/** What the part does not do, in words; undefined when all is well, or nothing is known. */
export function problemOf(part: Part, heartbeat: Heartbeat): string | undefined {
  const { executorCheckedMsAgo, rulesCheckedMsAgo, fault } = heartbeat;
  const said = fault.split('; ').find((each) => FAULTS[part].test(each));
  if (said !== undefined) return said.slice(0, MAX_FAULT_CHARS);
  const checkedMsAgo = part === 'executor' ? executorCheckedMsAgo : rulesCheckedMsAgo;
  if (checkedMsAgo <= STALE_MS) return undefined;
  const seconds = Math.round(checkedMsAgo / 1_000);
  return part === 'executor'
    ? `it could not write its journal for ${seconds} s: the disk hangs, or the process does`
    : `no event came through its rules to its spool for ${seconds} s`;
}

/** @param problem what this heartbeat says of the part. @returns undefined: it is well */
export function judge(state: PartState | undefined, problem: string | undefined): PartState | undefined {
  if (problem === undefined) {
    return state?.kind === 'bad' ? { kind: 'mending', problem: state.problem } : undefined;
  }
  return { kind: state === undefined ? 'suspect' : 'bad', problem };
}

/** Whether an alert should be open. */
export function isBad(state: PartState | undefined): boolean {
  return state !== undefined && state.kind !== 'suspect';
}
