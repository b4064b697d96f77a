import { type Remembered, weightOf } from './remembered.ts';
import type { EngineState, EngineStateChange } from './types.ts';

/** What one watch remembers, by name: a value of `by`, or an instance. */
export interface Shelf<T extends Remembered> {
  get(name: string): T | undefined;
  /** Replaces what is there, and makes it the newest (`n` is set here). Forgets the oldest others when there are too many. */
  put(name: string, value: T): void;
  delete(name: string): void;
  /** The least recently touched first. */
  entries(): readonly (readonly [name: string, value: T])[];
  oldest(): readonly [name: string, value: T] | undefined;
  size(): number;
}

/** On one shelf. */
export const MAX_REMEMBERED_PER_WATCH = 1000;
/** All together, as `weightOf` weighs them. */
const MAX_WEIGHT = 500_000;

/** Everything an engine remembers, by watch; tells what changed, so that a caller can keep it beside what caused it. */
export class Store {
  readonly #shelves = new Map<string, Map<string, Remembered>>();
  readonly #dirty = new Map<string, Remembered>();
  readonly #removed = new Set<string>();
  #n = 0;
  #weight = 0;

  /** @param onForgotten hears of each that went because there were too many */
  shelf<T extends Remembered>(
    watchId: string,
    isMine: (entry: Remembered) => entry is T,
    onForgotten: (name: string) => void,
  ): Shelf<T> {
    const shelf = this.#shelfOf(watchId);
    const mine = (entry: Remembered | undefined) => (entry !== undefined && isMine(entry) ? entry : undefined);
    return {
      get: (name) => mine(shelf.get(name)),
      put: (name, value) => {
        const entry: T = { ...value, n: ++this.#n };
        const before = shelf.get(name);
        if (before !== undefined) {
          shelf.delete(name);
          this.#weight -= weightOf(before);
        }
        shelf.set(name, entry);
        this.#weight += weightOf(entry);
        this.#dirty.set(keyOf(watchId, name), entry);
        this.#removed.delete(keyOf(watchId, name));
        while (shelf.size > MAX_REMEMBERED_PER_WATCH || (this.#weight > MAX_WEIGHT && shelf.size > 1)) {
          const [oldest] = shelf.keys();
          if (oldest === undefined) break;
          this.delete(watchId, oldest);
          onForgotten(oldest);
        }
      },
      delete: (name) => this.delete(watchId, name),
      entries: () =>
        [...shelf].flatMap(([name, entry]) => {
          const value = mine(entry);
          return value === undefined ? [] : [[name, value] as const];
        }),
      oldest: () => {
        const [first] = shelf;
        const value = mine(first?.[1]);
        return first === undefined || value === undefined ? undefined : [first[0], value];
      },
      size: () => shelf.size,
    };
  }

  delete(watchId: string, name: string): void {
    const shelf = this.#shelfOf(watchId);
    const gone = shelf.get(name);
    if (gone === undefined) return;
    shelf.delete(name);
    this.#weight -= weightOf(gone);
    this.#dirty.delete(keyOf(watchId, name));
    this.#removed.add(keyOf(watchId, name));
  }

  state(): EngineState {
    return Object.fromEntries(this.#all().map(({ watchId, name, value }) => [keyOf(watchId, name), value]));
  }

  changes(): EngineStateChange {
    const change = { set: Object.fromEntries(this.#dirty), removed: [...this.#removed] };
    this.#dirty.clear();
    this.#removed.clear();
    return change;
  }

  /** Fills an empty store. Entries come in the order in which they were touched, whatever order the state has them in. */
  load(entries: readonly { watchId: string; name: string; value: Remembered }[]): void {
    for (const { watchId, name, value } of entries.toSorted((a, b) => a.value.n - b.value.n)) {
      this.#shelfOf(watchId).set(name, value);
      this.#n = Math.max(this.#n, value.n);
      this.#weight += weightOf(value);
    }
  }

  /** A saved entry that nobody reads any more. */
  drop(key: string): void {
    this.#removed.add(key);
  }

  #all(): { watchId: string; name: string; value: Remembered }[] {
    return [...this.#shelves].flatMap(([watchId, shelf]) =>
      [...shelf].map(([name, value]) => ({ watchId, name, value })),
    );
  }

  #shelfOf(watchId: string): Map<string, Remembered> {
    const known = this.#shelves.get(watchId);
    if (known !== undefined) return known;
    const made = new Map<string, Remembered>();
    this.#shelves.set(watchId, made);
    return made;
  }
}

function keyOf(watchId: string, name: string): string {
  return `${watchId}\n${name}`;
}

/** @returns the watch and the name that a key of the state is of */
export function splitKey(key: string): { watchId: string; name: string } {
  const end = key.indexOf('\n');
  return end < 0 ? { watchId: key, name: '' } : { watchId: key.slice(0, end), name: key.slice(end + 1) };
}
