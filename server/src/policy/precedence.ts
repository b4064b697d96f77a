import type { Selector } from '../agents/selector.ts';

/**
 * Which of several objects that all select an agent has the last word: the more specific selector, then the higher priority, then the name
 * that comes first in the alphabet. A total order, so that it never depends on when something was applied.
 */
export interface Ranked {
  readonly name: string;
  readonly on: Selector;
  /** Default 0. */
  readonly priority: number;
}

/** How specific a selector is, most specific first. */
export const SPECIFICITIES = ['name', 'several terms', 'one term', 'all'] as const;
export type Specificity = (typeof SPECIFICITIES)[number];

export function specificityOf(selector: Selector): Specificity {
  if (selector.some((term) => term.kind === 'in' && (term.key === 'name' || term.key === 'id'))) return 'name';
  if (selector.length > 1) return 'several terms';
  return selector.length === 1 ? 'one term' : 'all';
}

/** Sorts the one that has the last word to the front. */
export function byPrecedence(a: Ranked, b: Ranked): number {
  const specific =
    SPECIFICITIES.indexOf(specificityOf(a.on)) - SPECIFICITIES.indexOf(specificityOf(b.on)) || b.priority - a.priority;
  if (specific !== 0) return specific;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
