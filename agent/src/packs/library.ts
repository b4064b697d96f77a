import type { Pack, PackTask } from '@openline/packs';
import type { HeldPack, PackState } from '@openline/proto/agent';

/** A task that can start now: its pack verified and parsed, its script on disk. */
export interface ReadyTask {
  readonly packName: string;
  readonly packVersion: string;
  readonly task: PackTask;
  /** Absolute path of the script file, for script runners. */
  readonly scriptPath: string | undefined;
  /**
   * Checks the parameters against the schema.
   * @param asText those that are text still, whatever the schema wants them to be
   * @throws OpenlineError PARAMETERS_INVALID
   */
  validate(parameters: Readonly<Record<string, unknown>>, asText?: readonly string[]): Record<string, unknown>;
}

export type TaskLookup =
  | { readonly kind: 'ready'; readonly ready: ReadyTask }
  /** Being fetched: `settled` resolves when it became ready or was refused; look it up again then. */
  | { readonly kind: 'pending'; readonly settled: Promise<void> }
  | { readonly kind: 'absent'; readonly code: 'PACK_NOT_HELD' | 'TASK_UNKNOWN'; readonly reason: string };

/** Packs at the agent: fetched when wanted and lacking, verified, digested, cached on disk, loaded again at start without the network. */
export interface PackLibrary {
  held(): HeldPack[];
  lookup(digest: Uint8Array, taskName: string): TaskLookup;
  /** The newest version of each that is wanted, held and read: what it watches for holds here. */
  newest(): readonly Pack[];
  /**
   * Told whenever `newest` may say something else; for the first time when everything that was held at the start has been read, not before: until then a
   * pack that is held may look as if it were not. A pack is not said to be ready before the listener has settled.
   */
  onChange(listener: () => Promise<void>): void;
  /** Makes the library hold exactly these, keeping what it has; reports each that became ready or was refused. */
  want(
    packs: readonly HeldPack[],
    fetch: (digest: Uint8Array) => Promise<{ content: Uint8Array; signature: string }>,
  ): Promise<PackState[]>;
}
