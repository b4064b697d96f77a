import type { Scope } from '../cel/check.ts';
import type { PackMonitor, Recovery } from '../monitoring.ts';
import { choiceOf, durationOf, fieldsOf, integerOf, itemsOf, need } from '../read.ts';
import type { Entry, Located } from '../source.ts';
import { interpreterOf } from '../task.ts';
import { ANSWER_FIELDS, readAlert, readAnswer, readAnswerFields } from './answer.ts';
import { EVERY_MS, RESET_MS, SAMPLES, TIMEOUT_MS, TREND_MS } from './bounds.ts';
import { COMMON, readCommon } from './common.ts';
import type { WatchContext } from './context.ts';
import { readMatches } from './match.ts';
import { PROBE_KINDS, readProbe } from './probe.ts';

const FIELDS = [...COMMON, 'probe', 'events', 'reset', 'alert', 'diagnostic', 'recoveries'] as const;
const PROBE_FIELDS = [
  ...PROBE_KINDS,
  'output',
  'every',
  'timeout',
  'instance',
  'trend',
  'warning',
  'critical',
  'samples',
] as const;

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_RECOVERIES = 10;

type Bad = 'warning' | 'critical';
const BAD = ['warning', 'critical'] as const;

interface ReadInput {
  readonly input: PackMonitor['input'];
  /** What speaks of a change: alerts, diagnostics, recoveries. */
  readonly scope: Scope;
  readonly requires: Readonly<Record<string, string>>;
  /** The bad states that it can come to. */
  readonly states: readonly Bad[];
}

export function readMonitor(context: WatchContext, name: string, entry: Entry): PackMonitor {
  const { report } = context;
  const node = entry.value;
  const fields = fieldsOf(report, node, `monitor '${name}'`, FIELDS);
  const common = readCommon(context, 'monitor', name, entry, fields);
  if ((fields.probe === undefined) === (fields.events === undefined)) {
    report.add(entry.keyAt, `monitor '${name}' needs exactly one of 'probe' and 'events'`);
  }
  const base: Scope = { variables: ['settings', 'agent'], settings: common.settings, groups: [] };
  const { input, scope, requires, states } =
    fields.events === undefined
      ? readProbeInput(context, fields.probe?.value, base)
      : readEventsInput(context, fields.events.value, base);
  const changing: Scope = { ...scope, variables: [...scope.variables, 'instance', 'state'] };
  const reset = readReset(context, fields.reset?.value);
  if (input.kind === 'events') checkHeals(context, entry, input, reset);
  else if (reset.kind === 'timer') {
    report.add(
      fields.reset?.value.at ?? entry.keyAt,
      "a timer resets a monitor of 'events'; a probe's samples speak for themselves",
    );
  }
  return {
    ...common,
    requires: { ...requires, ...common.requires },
    input,
    reset,
    alert: readMonitorAlert(context, fields.alert?.value, changing, states),
    diagnostic: readAnswer(context, fields.diagnostic?.value, "'diagnostic'", changing),
    recoveries: readRecoveries(context, fields.recoveries?.value, changing, input.kind, states),
  };
}

function readProbeInput(context: WatchContext, node: Located | undefined, base: Scope): ReadInput {
  const { report, expressions } = context;
  const fields = fieldsOf(report, node, "'probe'", PROBE_FIELDS);
  const at = node?.at ?? 0;
  const probe = node === undefined ? undefined : readProbe(context, node, fields, base);
  const every =
    node === undefined ? undefined : need(report, at, fields.every?.value, "'probe' needs 'every', such as 1m");
  const everyMs = durationOf(report, every, "'every'", EVERY_MS) ?? EVERY_MS.max;
  const timeoutNode = fields.timeout?.value;
  const timeoutMs = durationOf(report, timeoutNode, "'timeout'", TIMEOUT_MS) ?? Math.min(DEFAULT_TIMEOUT_MS, everyMs);
  if (timeoutNode !== undefined && timeoutMs > everyMs) report.add(timeoutNode.at, "'timeout' is longer than 'every'");
  const sampling: Scope = { ...base, variables: ['sample', ...base.variables] };
  const trend = readTrend(context, fields.trend?.value, sampling);
  const scope: Scope = trend === undefined ? sampling : { ...sampling, variables: ['trend', ...sampling.variables] };
  const states = BAD.filter((state) => fields[state] !== undefined);
  if (node?.kind === 'map' && states.length === 0) {
    report.add(at, "'probe' needs 'warning' or 'critical', which say when it is not healthy");
  }
  return {
    input: {
      kind: 'probe',
      everyMs,
      timeoutMs,
      probe: probe ?? { kind: 'tcp', host: '', port: 0 },
      instance: expressions.expression(fields.instance?.value, "'instance'", sampling, 'text'),
      trend,
      warning: expressions.expression(fields.warning?.value, "'warning'", scope, 'bool'),
      critical: expressions.expression(fields.critical?.value, "'critical'", scope, 'bool'),
      samples: integerOf(report, fields.samples?.value, "'samples'", SAMPLES.min, SAMPLES.max) ?? 1,
    },
    scope,
    requires: probe?.kind === 'run' ? interpreterOf(probe.runner) : {},
    states,
  };
}

function readTrend({ report, expressions }: WatchContext, node: Located | undefined, scope: Scope) {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'trend'", ['value', 'over']);
  const value = need(report, node.at, fields.value?.value, "'trend' needs 'value', an expression that gives a number");
  const over = need(report, node.at, fields.over?.value, "'trend' needs 'over', such as 6h");
  return {
    value: expressions.expression(value, "'value'", scope, 'number') ?? '',
    overMs: durationOf(report, over, "'over'", TREND_MS) ?? TREND_MS.max,
  };
}

function readEventsInput(context: WatchContext, node: Located, base: Scope): ReadInput {
  const { report, expressions } = context;
  const fields = fieldsOf(report, node, "'events'", ['warning', 'critical', 'healthy', 'instance']);
  const scope: Scope = { ...base, variables: ['event', 'match', ...base.variables] };
  const read = (state: Bad | 'healthy') => readMatches(report, expressions, fields[state]?.value, `'${state}'`, scope);
  const [warning, critical, healthy] = [read('warning'), read('critical'), read('healthy')];
  const states = BAD.filter((state) => fields[state] !== undefined);
  if (node.kind === 'map' && states.length === 0) {
    report.add(node.at, "'events' needs 'warning' or 'critical': events that say that something is wrong");
  }
  // Worked out of each kind of event that is given, so each must have what it speaks of.
  for (const { groups } of [warning, critical, healthy].filter(({ matches }) => matches.length > 0)) {
    expressions.expression(fields.instance?.value, "'instance'", { ...scope, groups }, 'text');
  }
  const groups = [...new Set([...warning.groups, ...critical.groups])];
  return {
    input: {
      kind: 'events',
      warning: warning.matches,
      critical: critical.matches,
      healthy: healthy.matches,
      instance: expressions.expression(fields.instance?.value, "'instance'", { ...scope, groups }, 'text'),
    },
    scope: { ...scope, groups },
    requires: {},
    states,
  };
}

function checkHeals(
  { report }: WatchContext,
  { keyAt }: Entry,
  input: Extract<PackMonitor['input'], { kind: 'events' }>,
  reset: PackMonitor['reset'],
): void {
  if (input.healthy.length > 0 || reset.kind !== 'input') return;
  report.add(
    keyAt,
    "nothing makes this monitor healthy again: give 'healthy' events, or 'reset' as manual or {after: 15m}",
  );
}

/** `input`, `manual`, or `{after: 15m}`. */
function readReset({ report }: WatchContext, node: Located | undefined): PackMonitor['reset'] {
  if (node?.kind !== 'map') return { kind: choiceOf(report, node, "'reset'", ['input', 'manual']) ?? 'input' };
  const { after } = fieldsOf(report, node, "'reset'", ['after']);
  const value = need(report, node.at, after?.value, "'reset' as a mapping needs 'after', such as 15m");
  return { kind: 'timer', afterMs: durationOf(report, value, "'after'", RESET_MS) ?? RESET_MS.max };
}

function readMonitorAlert(
  context: WatchContext,
  node: Located | undefined,
  scope: Scope,
  states: readonly Bad[],
): PackMonitor['alert'] {
  if (node === undefined) return undefined;
  const { report } = context;
  const fields = fieldsOf(report, node, "'alert'", ['from', 'severity', 'title', 'description']);
  const from = choiceOf(report, fields.from?.value, "'from'", BAD) ?? 'warning';
  checkReached(context, fields.from?.value, from, states);
  return { ...readAlert(context, node, fields, scope), from };
}

/** What waits for a state that never comes is a mistake. */
function checkReached({ report }: WatchContext, at: Located | undefined, state: Bad, states: readonly Bad[]): void {
  if (at === undefined || states.length === 0 || states.includes(state)) return;
  if (state === 'warning') return;
  report.add(at.at, `this monitor is never ${state}: nothing says when it would be`);
}

function readRecoveries(
  context: WatchContext,
  node: Located | undefined,
  scope: Scope,
  kind: PackMonitor['input']['kind'],
  states: readonly Bad[],
): readonly Recovery[] {
  const { report, expressions } = context;
  const items = itemsOf(report, node, "'recoveries'");
  if (node !== undefined && items.length > MAX_RECOVERIES) {
    report.add(node.at, `a monitor has at most ${MAX_RECOVERIES} recoveries`);
  }
  const judging: Scope = { ...scope, variables: kind === 'probe' ? ['diagnostic', 'sample'] : ['diagnostic'] };
  return items.map((item) => {
    const fields = fieldsOf(report, item, 'a recovery', [...ANSWER_FIELDS, 'on', 'when', 'most']);
    const onNode = need(report, item.at, fields.on?.value, "a recovery needs 'on': warning or critical");
    const on = choiceOf(report, onNode, "'on'", BAD) ?? 'critical';
    if (onNode !== undefined && states.length > 0 && !states.includes(on)) {
      report.add(onNode.at, `this monitor is never ${on}: nothing says when it would be`);
    }
    return {
      ...readAnswerFields(context, item, 'a recovery', fields, scope),
      on,
      when: expressions.expression(fields.when?.value, "'when'", judging, 'bool'),
      most: integerOf(report, fields.most?.value, "'most'", 1, 100) ?? 1,
    };
  });
}
