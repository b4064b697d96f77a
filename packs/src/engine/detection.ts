import type { NodeEvent } from '../monitoring.ts';
import type { CompiledRule } from './compiled.ts';
import { type Captures, type EventMatcher, MatchContext, type Sighting } from './matcher.ts';
import type { AlertContent, Answer, Detection, Outcome, WatchRef } from './outcome.ts';
import { shortKey } from './texts.ts';
import type { Trouble } from './trouble.ts';

export interface FiredEvents {
  readonly events: readonly NodeEvent[];
  readonly eventCount: number;
}

export function contextOf(
  rule: CompiledRule,
  matcher: EventMatcher,
  sighting: Sighting,
  groups: Captures,
): MatchContext {
  const { event, view } = sighting;
  return new MatchContext(view, rule.settings, rule.agent, () => ({
    ...groups,
    ...matcher.pattern?.captures(event.message),
  }));
}

/** What a rule that fired comes to. */
export function fire(
  rule: CompiledRule,
  trouble: Trouble,
  context: MatchContext,
  fired: FiredEvents,
  atUnixMs: number,
  out: Outcome[],
): void {
  if (rule.metric !== undefined) out.push({ kind: 'metric', pack: rule.ref.pack, metric: rule.metric, count: 1 });
  if (rule.alert === undefined && rule.run === undefined) return;
  context.count = fired.eventCount;
  const { key } = rule;
  const text = key === undefined ? '' : (trouble.attempt(() => shortKey(key(context))) ?? '');
  out.push(new Fired(rule, trouble, context, text, fired, atUnixMs));
}

/** Its texts are worked out when they are first read: of many with one key, few are. */
class Fired implements Detection {
  readonly kind = 'detection';
  readonly rule: WatchRef;
  readonly key: string;
  readonly atUnixMs: number;
  readonly events: readonly NodeEvent[];
  readonly eventCount: number;
  readonly #compiled: CompiledRule;
  readonly #trouble: Trouble;
  readonly #context: MatchContext;
  #alert: { readonly value: AlertContent | undefined } | undefined;
  #run: { readonly value: Answer | undefined } | undefined;

  constructor(
    compiled: CompiledRule,
    trouble: Trouble,
    context: MatchContext,
    key: string,
    { events, eventCount }: FiredEvents,
    atUnixMs: number,
  ) {
    this.rule = compiled.ref;
    this.key = key;
    this.atUnixMs = atUnixMs;
    this.events = events;
    this.eventCount = eventCount;
    this.#compiled = compiled;
    this.#trouble = trouble;
    this.#context = context;
  }

  get alert(): AlertContent | undefined {
    const { alert } = this.#compiled;
    this.#alert ??= { value: alert?.texts(this.#context, this.key, alert.severity, this.#trouble.failed) };
    return this.#alert.value;
  }

  get run(): Answer | undefined {
    this.#run ??= { value: this.#compiled.run?.(this.#context, this.#trouble.failed) };
    return this.#run.value;
  }
}
