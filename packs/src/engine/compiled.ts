import { compileExpression, type Expression } from '../cel/evaluate.ts';
import type { AlertSpec, HealthState, PackMonitor, PackRule, Probe, Settings, Severity } from '../monitoring.ts';
import { type AgentView, type Captures, compileMatcher, type EventMatcher, groupsOf } from './matcher.ts';
import type { ProbePlan, WatchRef } from './outcome.ts';
import { type AlertTexts, type AnswerTexts, compileAlert, compileAnswer, compileTemplate } from './texts.ts';

/** Rules and monitors of packs, ready to run on one agent. */

interface CompiledWatch {
  /** "pack/name" */
  readonly id: string;
  readonly ref: WatchRef;
  readonly settings: Settings;
  readonly agent: AgentView;
}

export interface CompiledRule extends CompiledWatch {
  readonly on: readonly EventMatcher[];
  readonly groups: Captures;
  readonly condition:
    | { readonly kind: 'each' }
    | { readonly kind: 'threshold'; readonly count: number; readonly withinMs: number; readonly by?: Expression }
    | {
        readonly kind: 'absence';
        readonly expect: readonly EventMatcher[];
        readonly expectGroups: Captures;
        readonly withinMs: number;
        readonly by?: Expression;
      };
  readonly key: Expression | undefined;
  readonly alert: { readonly severity: Severity; readonly texts: AlertTexts } | undefined;
  readonly run: AnswerTexts | undefined;
  readonly metric: string | undefined;
}

export interface CompiledMonitor extends CompiledWatch {
  readonly input:
    | {
        readonly kind: 'probe';
        readonly plan: ProbePlan;
        readonly trend: { readonly name: string; readonly value: Expression; readonly overMs: number } | undefined;
        readonly warning: Condition | undefined;
        readonly critical: Condition | undefined;
        readonly samples: number;
      }
    | {
        readonly kind: 'events';
        /** The worst first: the first that matches an event speaks for it. */
        readonly matchers: readonly { readonly said: HealthState; readonly matcher: EventMatcher }[];
        readonly groups: Captures;
      };
  readonly instance: Expression | undefined;
  readonly reset: PackMonitor['reset'];
  readonly alert:
    | { readonly from: 'warning' | 'critical'; readonly severity: Severity | undefined; readonly texts: AlertTexts }
    | undefined;
  readonly diagnostic: AnswerTexts | undefined;
  readonly recoveries: readonly CompiledRecovery[];
}

/** With its words, which say why a state is what it is. */
export interface Condition {
  readonly text: string;
  readonly holds: Expression;
}

export interface CompiledRecovery {
  readonly on: 'warning' | 'critical';
  readonly when: string;
  readonly most: number;
  readonly run: AnswerTexts;
}

export function compileRule(rule: PackRule, ref: WatchRef, agent: AgentView): CompiledRule {
  const on = rule.on.map(compileMatcher);
  return {
    id: idOf(ref.pack, ref.name),
    ref,
    agent,
    settings: rule.settings,
    on,
    groups: groupsOf(on),
    condition: compileCondition(rule.condition),
    key: optional(rule.alert?.key),
    alert: rule.alert && { severity: rule.alert.severity ?? 'warning', texts: compileAlert(rule.alert) },
    run: rule.run && compileAnswer(rule.run, ref.pack),
    metric: rule.metric,
  };
}

function compileCondition(condition: PackRule['condition']): CompiledRule['condition'] {
  if (condition.kind === 'each') return condition;
  const { by, ...rest } = condition;
  const compiledBy = by === undefined ? {} : { by: compileExpression(by) };
  if (rest.kind === 'threshold') return { ...rest, ...compiledBy };
  const expect = rest.expect.map(compileMatcher);
  return { ...rest, ...compiledBy, expect, expectGroups: groupsOf(expect) };
}

export function compileMonitor(monitor: PackMonitor, ref: WatchRef, agent: AgentView): CompiledMonitor {
  const { input, alert, settings } = monitor;
  return {
    id: idOf(ref.pack, ref.name),
    ref,
    agent,
    settings,
    input: input.kind === 'probe' ? compileProbeInput(input, ref, settings, agent) : compileEventsInput(input),
    instance: optional(input.instance),
    reset: monitor.reset,
    alert: alert && { from: alert.from, severity: alert.severity, texts: compileAlert(alert satisfies AlertSpec) },
    diagnostic: monitor.diagnostic && compileAnswer(monitor.diagnostic, ref.pack),
    recoveries: monitor.recoveries.map((recovery) => ({
      on: recovery.on,
      when: recovery.when ?? '',
      most: recovery.most,
      run: compileAnswer(recovery, ref.pack),
    })),
  };
}

type ProbeInput = Extract<PackMonitor['input'], { kind: 'probe' }>;

function compileProbeInput(input: ProbeInput, ref: WatchRef, settings: Settings, agent: AgentView) {
  const { everyMs, timeoutMs, trend, warning, critical, samples } = input;
  const fill = (template: string) => compileTemplate(template)({ settings, agent }, () => {});
  return {
    kind: 'probe',
    plan: { monitor: ref, everyMs, timeoutMs, probe: fillProbe(input.probe, fill), settings },
    trend: trend && {
      name: `${trend.overMs} ${trend.value}`,
      value: compileExpression(trend.value),
      overMs: trend.overMs,
    },
    warning: condition(warning),
    critical: condition(critical),
    samples,
  } as const;
}

function condition(text: string | undefined): Condition | undefined {
  return text === undefined ? undefined : { text, holds: compileExpression(text) };
}

function compileEventsInput(input: Extract<PackMonitor['input'], { kind: 'events' }>) {
  const matchers = (['critical', 'warning', 'healthy'] as const).flatMap((said) =>
    input[said].map((match) => ({ said, matcher: compileMatcher(match) })),
  );
  return { kind: 'events', matchers, groups: groupsOf(matchers.map(({ matcher }) => matcher)) } as const;
}

function fillProbe(probe: Probe, fill: (template: string) => string): Probe {
  switch (probe.kind) {
    case 'run':
      return probe;
    case 'http':
      return { ...probe, url: fill(probe.url) };
    case 'tcp':
      return { ...probe, host: fill(probe.host), port: typeof probe.port === 'string' ? fill(probe.port) : probe.port };
    case 'dns':
      return { ...probe, host: fill(probe.host) };
    case 'process':
      return {
        ...probe,
        name: probe.name === undefined ? undefined : fill(probe.name),
        pattern: probe.pattern === undefined ? undefined : fill(probe.pattern),
      };
    case 'certificate':
      return {
        ...probe,
        of: 'files' in probe.of ? { files: probe.of.files.map(fill) } : { ...probe.of, host: fill(probe.of.host) },
      };
    default:
      return probe satisfies never;
  }
}

function optional(text: string | undefined): Expression | undefined {
  return text === undefined ? undefined : compileExpression(text);
}

export function idOf(pack: string, name: string): string {
  return `${pack}/${name}`;
}
