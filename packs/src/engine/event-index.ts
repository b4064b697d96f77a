import type { NodeEvent } from '../monitoring.ts';
import { type EventMatcher, nameMatches } from './matcher.ts';

/** A matcher and whom it is for, in the order in which they are to be asked. */
export interface Listener<T> {
  readonly matcher: EventMatcher;
  readonly target: T;
}

/** Combinations of log, source and id that are remembered; then all is forgotten, and learnt again. */
const MAX_REMEMBERED = 2000;

/**
 * Who might want an event, by its log, source and id. Machines raise the same few kinds of event over and over, so the answer for each kind
 * is remembered: an event then costs only those that are really for its kind.
 */
export function createEventIndex<T>(listeners: readonly Listener<T>[]): (event: NodeEvent) => readonly Listener<T>[] {
  // Ids may be unique for each event: those that nobody asks for are all the same.
  const knownIds = new Set(listeners.flatMap(({ matcher }) => matcher.match.ids ?? []));
  const remembered = new Map<string, readonly Listener<T>[]>();
  return (event) => {
    const key = `${knownIds.has(event.id) ? event.id : ''}\0${event.log}\0${event.source}`;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const found = listeners.filter(({ matcher }) => isForKind(matcher, event));
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(key, found);
    return found;
  };
}

function isForKind({ match }: EventMatcher, { log, source, id }: NodeEvent): boolean {
  return (
    (match.ids === undefined || match.ids.includes(id)) &&
    (match.logs === undefined || match.logs.some((each) => nameMatches(each, log))) &&
    (match.sources === undefined || match.sources.some((each) => nameMatches(each, source)))
  );
}
