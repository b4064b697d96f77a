import type { CompiledMonitor } from './compiled.ts';
import type { Outcome } from './outcome.ts';
import type { Instance, Remembered } from './remembered.ts';
import { type ChangeCause, stateChange } from './state-change.ts';
import type { Store } from './store.ts';
import type { Trouble } from './trouble.ts';

/** Of one monitor. */
export const MAX_INSTANCES = 200;

/** The instances of one monitor: every change of them is remembered and, where people would see it, said. */
export interface Instances {
  get(name: string): Instance | undefined;
  entries(): readonly (readonly [name: string, value: Instance])[];
  /** Whether there is room for one more, or it is there already. */
  hasRoomFor(name: string): boolean;
  set(name: string, next: Instance | undefined, atUnixMs: number, cause: ChangeCause, out: Outcome[]): void;
}

export function createInstances(monitor: CompiledMonitor, store: Store, trouble: Trouble): Instances {
  const shelf = store.shelf(monitor.id, isInstance, trouble.evicted);
  return {
    get: shelf.get,
    entries: shelf.entries,
    hasRoomFor: (name) => shelf.size() < MAX_INSTANCES || shelf.get(name) !== undefined,
    set(name, next, atUnixMs, cause, out) {
      const before = shelf.get(name);
      if (next === undefined) shelf.delete(name);
      else if (before === undefined || !isSame(before, next)) shelf.put(name, next);
      const change = stateChange(monitor, trouble, name, before, next, atUnixMs, cause);
      if (change !== undefined) out.push(change);
    },
  };
}

/** Most samples change nothing, and what does not change need not be written. */
function isSame(a: Instance, b: Instance): boolean {
  return (
    a.state === b.state &&
    a.unknown === b.unknown &&
    a.missing === b.missing &&
    a.badAt === b.badAt &&
    a.trend === b.trend &&
    a.points === b.points &&
    a.rows.every((row, i) => row === b.rows[i])
  );
}

export function isInstance(entry: Remembered): entry is Instance {
  return entry.k === 'instance';
}
