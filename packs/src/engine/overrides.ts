import { didYouMean } from '@openline/proto/suggest';
import type { AlertSpec, PackMonitor, PackRule, Settings } from '../monitoring.ts';
import { EVERY_MS, RESET_MS, SAMPLES, THRESHOLD_COUNT, WITHIN_MS } from '../watch/bounds.ts';
import type { WatchOverride } from './types.ts';

/** What an override makes of a rule or monitor. Pure. */

export interface Overridden<T> {
  /** With the override's values. */
  readonly watch: T;
  /** Everything that an override may set, as it holds now. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of those, and `enabled` and `severity`: what the override set. */
  readonly overridden: readonly string[];
  /** What of it makes no sense, for people. It is left out. */
  readonly problems: readonly string[];
}

/** A number beside the settings. */
interface Knob {
  readonly value: number;
  readonly range: { readonly min: number; readonly max: number };
}
type Knobs = Readonly<Record<string, Knob>>;

export function overrideRule(rule: PackRule, override: WatchOverride | undefined): Overridden<PackRule> {
  const { settings, numbers, ...result } = readOverride(rule, knobsOfRule(rule.condition), override);
  const watch: PackRule = {
    ...rule,
    enabled: override?.enabled ?? rule.enabled,
    settings,
    alert: withSeverity(rule.alert, override),
    condition: turned(rule.condition, numbers),
  };
  return { ...result, watch, settings: { ...settings, ...numbers } };
}

export function overrideMonitor(monitor: PackMonitor, override: WatchOverride | undefined): Overridden<PackMonitor> {
  const { settings, numbers, ...result } = readOverride(monitor, knobsOfMonitor(monitor), override);
  const { input, reset } = monitor;
  const everyMs = numbers['every_ms'] ?? 0;
  const watch: PackMonitor = {
    ...monitor,
    enabled: override?.enabled ?? monitor.enabled,
    settings,
    alert: withSeverity(monitor.alert, override),
    input:
      input.kind === 'events'
        ? input
        : {
            ...input,
            everyMs,
            timeoutMs: Math.min(input.timeoutMs, everyMs),
            samples: numbers['samples'] ?? input.samples,
          },
    reset: reset.kind === 'timer' ? { ...reset, afterMs: numbers['reset.after_ms'] ?? reset.afterMs } : reset,
  };
  return { ...result, watch, settings: { ...settings, ...numbers } };
}

function knobsOfRule(condition: PackRule['condition']): Knobs {
  switch (condition.kind) {
    case 'each':
      return {};
    case 'threshold':
      return {
        'threshold.count': { value: condition.count, range: THRESHOLD_COUNT },
        'threshold.within_ms': { value: condition.withinMs, range: WITHIN_MS },
      };
    case 'absence':
      return { 'absence.within_ms': { value: condition.withinMs, range: WITHIN_MS } };
    default:
      return condition satisfies never;
  }
}

function turned(condition: PackRule['condition'], numbers: Readonly<Record<string, number>>): PackRule['condition'] {
  switch (condition.kind) {
    case 'each':
      return condition;
    case 'threshold': {
      const count = numbers['threshold.count'] ?? condition.count;
      return { ...condition, count, withinMs: numbers['threshold.within_ms'] ?? condition.withinMs };
    }
    case 'absence':
      return { ...condition, withinMs: numbers['absence.within_ms'] ?? condition.withinMs };
    default:
      return condition satisfies never;
  }
}

function knobsOfMonitor({ input, reset }: PackMonitor): Knobs {
  return {
    ...(input.kind === 'probe' && {
      every_ms: { value: input.everyMs, range: EVERY_MS },
      samples: { value: input.samples, range: SAMPLES },
    }),
    ...(reset.kind === 'timer' && { 'reset.after_ms': { value: reset.afterMs, range: RESET_MS } }),
  };
}

function withSeverity<T extends AlertSpec>(alert: T | undefined, override: WatchOverride | undefined): T | undefined {
  return alert === undefined || override?.severity === undefined ? alert : { ...alert, severity: override.severity };
}

function readOverride(
  watch: { readonly settings: Settings; readonly alert: AlertSpec | undefined },
  knobs: Knobs,
  override: WatchOverride | undefined,
) {
  const problems: string[] = [];
  const overridden: string[] = [];
  const settings: Record<string, number | string | boolean> = { ...watch.settings };
  const numbers = Object.fromEntries(Object.entries(knobs).map(([name, { value }]) => [name, value]));
  for (const [name, value] of Object.entries(override?.settings ?? {})) {
    const knob = Object.hasOwn(knobs, name) ? knobs[name] : undefined;
    if (knob !== undefined && typeof value === 'number' && isWithin(knob, value)) numbers[name] = value;
    else if (knob === undefined && fits(watch.settings, name, value)) settings[name] = value;
    else {
      problems.push(problemWith(name, watch.settings, knobs));
      continue;
    }
    overridden.push(name);
  }
  if (override?.enabled !== undefined) overridden.push('enabled');
  if (override?.severity !== undefined) {
    if (watch.alert === undefined) problems.push('it raises no alert, so it has no severity');
    else overridden.push('severity');
  }
  return { settings, numbers, overridden, problems };
}

const MAX_TEXT_CHARS = 1000;

function isWithin({ range }: Knob, value: number): boolean {
  return Number.isSafeInteger(value) && value >= range.min && value <= range.max;
}

/** The type of its default. */
function fits(settings: Settings, name: string, value: unknown): value is number | string | boolean {
  if (!Object.hasOwn(settings, name) || typeof value !== typeof settings[name]) return false;
  if (typeof value === 'string') return value.length <= MAX_TEXT_CHARS && !value.includes('\0');
  return typeof value !== 'number' || Number.isFinite(value);
}

function problemWith(name: string, settings: Settings, knobs: Knobs): string {
  const knob = Object.hasOwn(knobs, name) ? knobs[name] : undefined;
  if (knob !== undefined) return `'${name}' must be a whole number from ${knob.range.min} to ${knob.range.max}`;
  if (!Object.hasOwn(settings, name)) {
    return `there is no setting '${name}'${didYouMean(name, [...Object.keys(settings), ...Object.keys(knobs)])}`;
  }
  const fallback = settings[name];
  const kind = typeof fallback === 'number' ? 'a number' : typeof fallback === 'string' ? 'text' : 'true or false';
  return `'${name}' must be ${kind}, as its default ${JSON.stringify(fallback)} is`;
}
