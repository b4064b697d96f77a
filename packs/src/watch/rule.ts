import type { Scope } from '../cel/check.ts';
import type { PackRule } from '../monitoring.ts';
import { durationOf, fieldsOf, integerOf, need, textOf } from '../read.ts';
import type { Entry, Located } from '../source.ts';
import { NAME, NAME_RULE } from '../task.ts';
import { readAlert, readAnswer } from './answer.ts';
import { THRESHOLD_COUNT, WITHIN_MS } from './bounds.ts';
import { COMMON, readCommon } from './common.ts';
import type { WatchContext } from './context.ts';
import { readMatches } from './match.ts';

const FIELDS = [...COMMON, 'on', 'threshold', 'absence', 'alert', 'run', 'metric'] as const;

export function readRule(context: WatchContext, name: string, entry: Entry): PackRule {
  const { report, expressions } = context;
  const node = entry.value;
  const fields = fieldsOf(report, node, `rule '${name}'`, FIELDS);
  const common = readCommon(context, 'rule', name, entry, fields);
  const before: Scope = { variables: ['event', 'match', 'settings', 'agent'], settings: common.settings, groups: [] };
  if (fields.on === undefined) report.add(entry.keyAt, `rule '${name}' needs 'on', which says what events it is for`);
  const on = readMatches(report, expressions, fields.on?.value, "'on'", before);
  const scope: Scope = { ...before, groups: on.groups };
  const answering: Scope = { ...scope, variables: [...scope.variables, 'count'] };
  if (fields.alert === undefined && fields.run === undefined && fields.metric === undefined) {
    report.add(entry.keyAt, `rule '${name}' does nothing; give it 'alert', 'run' or 'metric'`);
  }
  return {
    ...common,
    on: on.matches,
    condition: readCondition(context, fields.threshold?.value, fields.absence?.value, scope),
    alert: readRuleAlert(context, fields.alert?.value, answering),
    run: readAnswer(context, fields.run?.value, "'run'", answering),
    metric: readMetric(context, fields.metric?.value),
  };
}

function readCondition(
  context: WatchContext,
  threshold: Located | undefined,
  absence: Located | undefined,
  scope: Scope,
): PackRule['condition'] {
  const { report, expressions } = context;
  if (threshold !== undefined && absence !== undefined) {
    report.add(absence.at, "'threshold' and 'absence' exclude each other; make two rules");
  }
  if (threshold !== undefined) {
    const fields = fieldsOf(report, threshold, "'threshold'", ['count', 'within', 'by']);
    const count = need(report, threshold.at, fields.count?.value, "'threshold' needs 'count'");
    const { min, max } = THRESHOLD_COUNT;
    return {
      kind: 'threshold',
      count: integerOf(report, count, "'count'", min, max) ?? min,
      withinMs: readWithin(context, threshold, fields.within?.value, "'threshold'"),
      by: expressions.expression(fields.by?.value, "'by'", scope, 'text'),
    };
  }
  if (absence === undefined) return { kind: 'each' };
  const fields = fieldsOf(report, absence, "'absence'", ['expect', 'within', 'by']);
  const expectNode = need(
    report,
    absence.at,
    fields.expect?.value,
    "'absence' needs 'expect', the events that are awaited",
  );
  const expect = readMatches(report, expressions, expectNode, "'expect'", { ...scope, groups: [] });
  // It is worked out of both kinds of event, so both must have what it speaks of.
  expressions.expression(fields.by?.value, "'by'", { ...scope, groups: expect.groups }, 'text');
  return {
    kind: 'absence',
    expect: expect.matches,
    withinMs: readWithin(context, absence, fields.within?.value, "'absence'"),
    by: expressions.expression(fields.by?.value, "'by'", scope, 'text'),
  };
}

function readWithin({ report }: WatchContext, at: Located, node: Located | undefined, what: string): number {
  const within = need(report, at.at, node, `${what} needs 'within', such as 2m`);
  return durationOf(report, within, "'within'", WITHIN_MS) ?? WITHIN_MS.min;
}

function readRuleAlert(context: WatchContext, node: Located | undefined, scope: Scope): PackRule['alert'] {
  if (node === undefined) return undefined;
  const { report } = context;
  const fields = fieldsOf(report, node, "'alert'", ['severity', 'title', 'description', 'key']);
  need(report, node.at, fields.severity, "'alert' needs a 'severity': information, warning or critical");
  return readAlert(context, node, fields, scope);
}

function readMetric({ report }: WatchContext, node: Located | undefined): string | undefined {
  const name = textOf(report, node, "'metric'", 63);
  if (node !== undefined && name !== undefined && !NAME.test(name)) {
    report.add(node.at, `'${name}' is no name for a metric: ${NAME_RULE}`);
  }
  return name;
}
