import { type Context, type Expression, numberOf, truthOf } from '../cel/evaluate.ts';
import type { HealthState } from '../monitoring.ts';
import type { CompiledMonitor } from './compiled.ts';
import { afterFailure, afterSample, newInstance } from './health.ts';
import type { Instances } from './instances.ts';
import type { Outcome, ProbeResult } from './outcome.ts';
import type { Instance } from './remembered.ts';
import { MAX_SAMPLE_ITEMS } from './sample.ts';
import { shortKey } from './texts.ts';
import { trendOf, withPoint } from './trend.ts';
import type { Trouble } from './trouble.ts';

/** So many samples in a row that do not speak of an instance, and it is gone. */
const MISSING_SAMPLES = 2;

type ProbeInput = Extract<CompiledMonitor['input'], { kind: 'probe' }>;

/** Judges the samples of one monitor. */
export function createJudge(monitor: CompiledMonitor, input: ProbeInput, instances: Instances, trouble: Trouble) {
  const judging = { samples: input.samples, sticks: monitor.reset.kind === 'manual' };

  function take(result: ProbeResult, nowUnixMs: number, out: Outcome[]): void {
    const items = result.ok ? itemsOf(result.sample) : undefined;
    const error = result.ok ? problemWith(items, monitor.instance) : result.error;
    if (error !== undefined || items === undefined) {
      failAll(error ?? 'the sample is no object', nowUnixMs, out);
      return;
    }
    if (items.length > MAX_SAMPLE_ITEMS) trouble.evicted();
    const named = new Map<string, Readonly<Record<string, unknown>>>();
    for (const item of items.slice(0, MAX_SAMPLE_ITEMS)) {
      const name = nameOf(item);
      if (name !== undefined) named.set(name, item);
    }
    if (named.size === 0 && items.length > 0) {
      failAll("'instance' gives no name for what was found", nowUnixMs, out);
      return;
    }
    for (const [name, item] of named) judgeOne(name, item, nowUnixMs, out);
    for (const [name, it] of instances.entries()) if (!named.has(name)) missed(name, it, nowUnixMs, out);
  }

  function nameOf(sample: unknown): string | undefined {
    const { instance } = monitor;
    if (instance === undefined) return '';
    const context = { sample, settings: monitor.settings, agent: monitor.agent };
    const name = trouble.attempt(() => shortKey(instance(context)));
    return name === '' ? undefined : name;
  }

  function judgeOne(name: string, sample: Readonly<Record<string, unknown>>, nowUnixMs: number, out: Outcome[]): void {
    if (!instances.hasRoomFor(name)) {
      trouble.evicted();
      return;
    }
    const known = instances.get(name);
    const before = known ?? newInstance;
    const common = { sample, settings: monitor.settings, agent: monitor.agent };
    try {
      const points = pointsAfter(before, common, nowUnixMs);
      const trend = input.trend === undefined ? {} : { trend: trendOf(points, input.trend.overMs) };
      const context: Context = { ...common, ...trend };
      const { judged, reason } = judge(context);
      const after = { ...afterSample(before, judged, judging), trend: input.trend?.name ?? '', points };
      const contextOf = (instance: string, state: string) => ({ ...context, instance, state });
      instances.set(name, after, nowUnixMs, { reason: reasonOf(after, judged, reason), sample, contextOf }, out);
    } catch (error) {
      trouble.failed(error);
      const words = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      const after = afterFailure(known, judging);
      instances.set(name, after, nowUnixMs, { reason: `the sample cannot be judged: ${words}`, sample }, out);
    }
  }

  function pointsAfter(before: Instance, context: Context, nowUnixMs: number): Instance['points'] {
    const { trend } = input;
    if (trend === undefined) return noPoints;
    const points = before.trend === trend.name ? before.points : noPoints;
    return withPoint(points, nowUnixMs, numberOf(trend.value(context)), trend.overMs);
  }

  function judge(context: Context): { judged: HealthState; reason: string } {
    for (const state of ['critical', 'warning'] as const) {
      const condition = input[state];
      if (condition !== undefined && truthOf(condition.holds(context))) {
        return { judged: state, reason: `${state}: ${condition.text}` };
      }
    }
    return { judged: 'healthy', reason: 'no condition holds (any more)' };
  }

  function missed(name: string, it: Instance, nowUnixMs: number, out: Outcome[]): void {
    const missing = it.missing + 1;
    // The nameless one stands for a probe that never worked before.
    const gone = missing >= MISSING_SAMPLES || name === '';
    const cause = { reason: 'the probe no longer finds it' };
    instances.set(name, gone ? undefined : { ...it, missing }, nowUnixMs, cause, out);
  }

  function failAll(error: string, nowUnixMs: number, out: Outcome[]): void {
    const known = instances.entries();
    const all = known.length > 0 ? known : [['', undefined] as const];
    for (const [name, it] of all) {
      instances.set(name, afterFailure(it, judging), nowUnixMs, { reason: `the probe does not work: ${error}` }, out);
    }
  }

  return take;
}

const noPoints: Instance['points'] = [];

/** Says why it is as it is, also when it was judged otherwise and has not changed yet, or must not. */
function reasonOf({ state }: Instance, judged: HealthState, reason: string): string {
  return state === judged
    ? reason
    : `${state} until it is reset, or has been otherwise often enough in a row (${reason})`;
}

function itemsOf(sample: unknown): readonly Readonly<Record<string, unknown>>[] | undefined {
  const items: readonly unknown[] = Array.isArray(sample) ? sample : [sample];
  return items.every(isRecord) ? items : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function problemWith(items: readonly unknown[] | undefined, instance: Expression | undefined): string | undefined {
  if (items === undefined) return 'the sample is no object, nor a list of them';
  if (instance === undefined && items.length !== 1) {
    return `the sample is a list of ${items.length}, and the monitor has no 'instance' to tell them apart`;
  }
  return undefined;
}
