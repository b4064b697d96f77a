/** Entries of JSON by name: what must go on where it was after a restart. */
export interface StateChange {
  readonly set: Readonly<Record<string, unknown>>;
  readonly removed: readonly string[];
}

export const NO_CHANGE: StateChange = { set: {}, removed: [] };

/** All of it as of the last commit, kept as text: it is read back once, and written often. */
export interface SpoolState {
  /** @returns the change as the body of a commit */
  apply(change: StateChange, acked: number): string;
  /** The whole as the body of a commit. */
  snapshot(acked: number): string;
  read(): Record<string, unknown>;
}

export function createSpoolState(from: Readonly<Record<string, unknown>> = {}): SpoolState {
  const entries = new Map<string, string>();
  for (const [key, value] of Object.entries(from)) entries.set(key, JSON.stringify(value));

  const body = (acked: number, full: boolean, set: Iterable<readonly [string, string]>, removed: readonly string[]) => {
    const fields = Array.from(set, ([key, json]) => `${JSON.stringify(key)}:${json}`);
    return `{"acked":${acked},"full":${full},"set":{${fields.join(',')}},"removed":${JSON.stringify(removed)}}`;
  };

  return {
    apply({ set, removed }, acked) {
      const changed = Object.entries(set).map(([key, value]) => [key, JSON.stringify(value)] as const);
      for (const key of removed) entries.delete(key);
      for (const [key, json] of changed) entries.set(key, json);
      return body(acked, false, changed, removed);
    },
    snapshot: (acked) => body(acked, true, entries, []),
    read: () => Object.fromEntries(Array.from(entries, ([key, json]) => [key, JSON.parse(json)])),
  };
}

/** Puts commits together. Within one, what is removed goes before what is set. */
export function stateOf(commits: readonly (StateChange & { readonly full: boolean })[]): Record<string, unknown> {
  const state = new Map<string, unknown>();
  for (const { full, set, removed } of commits) {
    if (full) state.clear();
    for (const key of removed) state.delete(key);
    for (const [key, value] of Object.entries(set)) state.set(key, value);
  }
  return Object.fromEntries(state);
}
