import { choiceOf, fieldsOf, integerOf, need, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import { type Attributes, attributeOf, selects } from '../agents/selector.ts';
import type { DeclaredKind, DeclaredObject } from '../declared/declared.ts';
import { readOn, readReason, type Selection } from '../policy/read-fields.ts';
import { ALL, type GroupRef, type GroupRule } from './line.ts';

export const ROLLUPS = ['worst', 'best', 'percentage'] as const;
export type Rollup = (typeof ROLLUPS)[number];
export const UNREACHABLE_COUNTS = ['critical', 'warning', 'ignore'] as const;
export type UnreachableCounts = (typeof UNREACHABLE_COUNTS)[number];

/** Agents that have the same value for a label (or fact) are a group. How its health is made of theirs, and when it counts as lost. */
export interface HealthGroupSpec {
  readonly label: string;
  readonly on: Selection;
  readonly reason: string;
  readonly rollup: Rollup;
  /** Of `percentage`: the group is as bad as the worst of the best so many percent. */
  readonly percent: number;
  /** What an agent counts as whose line is lost. */
  readonly unreachable: UnreachableCounts;
  readonly outage: { readonly members: number; readonly percent: number };
}

const KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/;
const DEFAULT_OUTAGE = { members: 3, percent: 50 };
const DEFAULT_PERCENT = 70;

export const healthGroupKind: DeclaredKind<HealthGroupSpec> = {
  kind: 'HealthGroup',
  plural: 'healthgroups',
  role: 'admin',
  parse(spec, { report }) {
    const fields = fieldsOf(report, spec, "'spec'", [
      'label',
      'on',
      'reason',
      'rollup',
      'percent',
      'unreachable',
      'outage',
    ]);
    const node = need(report, spec.at, fields.label?.value, "'spec' needs 'label': whose values make the groups");
    const label = textOf(report, node, "'label'", 253);
    if (label !== undefined && !KEY.test(label))
      report.add(node?.at ?? spec.at, `'${label}' is no name of a label or fact`);
    const rollup = choiceOf(report, fields.rollup?.value, "'rollup'", ROLLUPS) ?? 'worst';
    if (fields.percent !== undefined && rollup !== 'percentage')
      report.add(fields.percent.keyAt, "'percent' is for 'rollup: percentage' only");
    return {
      label: label ?? '',
      on: readOn(report, fields.on?.value),
      reason: readReason(report, fields.reason?.value),
      rollup,
      percent: integerOf(report, fields.percent?.value, "'percent'", 1, 100) ?? DEFAULT_PERCENT,
      unreachable: choiceOf(report, fields.unreachable?.value, "'unreachable'", UNREACHABLE_COUNTS) ?? 'critical',
      outage: readOutage(report, fields.outage?.value),
    };
  },
};

function readOutage(report: Report, node: Located | undefined): HealthGroupSpec['outage'] {
  const fields = fieldsOf(report, node, "'outage'", ['members', 'percent']);
  return {
    members: integerOf(report, fields.members?.value, "'members'", 2, 100_000) ?? DEFAULT_OUTAGE.members,
    percent: integerOf(report, fields.percent?.value, "'percent'", 1, 100) ?? DEFAULT_OUTAGE.percent,
  };
}

/** Every kind of group there is: those that are declared, and the labels of the configuration that none declares. */
export function allGroups(
  declared: readonly Pick<DeclaredObject<HealthGroupSpec>, 'name' | 'spec'>[],
  labels: readonly string[],
): { readonly name: string; readonly spec: HealthGroupSpec }[] {
  // One kind of group for a label: of several that are declared the first by name.
  const byLabel = new Map(declared.toReversed().map((each) => [each.spec.label, each]));
  const builtIn = labels.filter((label) => !byLabel.has(label)).map((label) => ({ name: label, spec: groupBy(label) }));
  return [...[...byLabel.values()].reverse(), ...builtIn];
}

function groupBy(label: string): HealthGroupSpec {
  return {
    label,
    on: { selector: [], text: 'all' },
    reason: '',
    rollup: 'worst',
    percent: DEFAULT_PERCENT,
    unreachable: 'critical',
    outage: DEFAULT_OUTAGE,
  };
}

/** The value that makes an agent a member; undefined: it is none. */
export function memberOf({ label, on }: HealthGroupSpec, agent: Attributes): string | undefined {
  const value = attributeOf(agent, label);
  return value === undefined || value === '' || !selects(on.selector, agent) ? undefined : value;
}

/** The groups that an agent may be lost with. */
export function lineGroupsOf(
  groups: readonly { readonly spec: HealthGroupSpec }[],
  agent: Attributes,
  storm: number,
): GroupRef[] {
  const refs = new Map<string, GroupRef>();
  for (const { spec } of groups) {
    const value = memberOf(spec, agent);
    const key = `${spec.label}=${value}`;
    const rule: GroupRule = { ...spec.outage, storm: undefined };
    if (value !== undefined && !refs.has(key)) refs.set(key, { key, rule });
  }
  return [...refs.values(), { key: ALL, rule: { ...DEFAULT_OUTAGE, storm } }];
}
