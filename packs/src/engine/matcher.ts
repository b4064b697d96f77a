import { compileCondition, type Expression, truthOf } from '../cel/evaluate.ts';
import type { Prefilter } from '../cel/prefilter.ts';
import { EventView } from '../cel/views.ts';
import { EVENT_LEVELS, type EventMatch, type NodeEvent } from '../monitoring.ts';
import { compileSearch, Searched, type SearchPattern } from '../regex.ts';

/** An event on its way through the rules, with what several of them need of it, worked out once and only when one does. */
export class Sighting {
  readonly event: NodeEvent;
  readonly nowUnixMs: number;
  #view: EventView | undefined;
  #searched: Searched | undefined;

  constructor(event: NodeEvent, nowUnixMs: number) {
    this.event = event;
    this.nowUnixMs = nowUnixMs;
  }

  get view(): EventView {
    this.#view ??= new EventView(this.event);
    return this.#view;
  }

  get searched(): Searched {
    this.#searched ??= new Searched(this.event.message);
    return this.#searched;
  }
}

export type Captures = Readonly<Record<string, string>>;

/** What expressions see of a match. The groups of the pattern are worked out when an expression asks. */
export class MatchContext {
  readonly event: EventView;
  readonly settings: unknown;
  readonly agent: AgentView;
  count = 1;
  instance = '';
  state = '';
  readonly #captures: () => Captures;
  #match: Captures | undefined;

  constructor(event: EventView, settings: unknown, agent: AgentView, captures: () => Captures) {
    this.event = event;
    this.settings = settings;
    this.agent = agent;
    this.#captures = captures;
  }

  get match(): Captures {
    this.#match ??= this.#captures();
    return this.#match;
  }
}

/** What expressions see of the agent. */
export interface AgentView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** One entry of `on`, ready to run. */
export interface EventMatcher {
  readonly match: EventMatch;
  readonly minLevel: number;
  readonly pattern: SearchPattern | undefined;
  readonly where: { readonly mayHold: Prefilter | undefined; readonly holds: Expression } | undefined;
}

const LEVEL_RANK: ReadonlyMap<string, number> = new Map(EVENT_LEVELS.map((level, i) => [level, i]));

export function compileMatcher(match: EventMatch): EventMatcher {
  return {
    match,
    minLevel: match.level === undefined ? 0 : (LEVEL_RANK.get(match.level) ?? 0),
    pattern: match.pattern === undefined ? undefined : compileSearch(match.pattern),
    where: match.where === undefined ? undefined : compileCondition(match.where),
  };
}

/** Of all matchers of a watch, so that each name is there whichever of them matched. */
export function groupsOf(matchers: readonly EventMatcher[]): Captures {
  return Object.fromEntries(matchers.flatMap(({ pattern }) => pattern?.groups ?? []).map((name) => [name, '']));
}

/** Log, source and id hold already: the index saw to that. @throws Error what the condition could not make of the event */
export function holds(matcher: EventMatcher, sighting: Sighting, contextOf: () => MatchContext): boolean {
  if (matcher.minLevel > 0 && (LEVEL_RANK.get(sighting.event.level) ?? 0) < matcher.minLevel) return false;
  const { pattern, where } = matcher;
  if (where?.mayHold?.(sighting.event) === false) return false;
  if (pattern !== undefined && !pattern.test(sighting.searched)) return false;
  return where === undefined || truthOf(where.holds(contextOf()));
}

/** Exact, or with `*` for any text. */
export function nameMatches(pattern: string, name: string): boolean {
  if (!pattern.includes('*')) return pattern === name;
  const parts = pattern.split('*');
  const [first = ''] = parts;
  const last = parts.at(-1) ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
}
