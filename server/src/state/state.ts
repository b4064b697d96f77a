/**
 * What a server made itself, must find again after a restart, and does not keep in PostgreSQL: the authority, the key that signs packs, the first
 * admin token. Each item is one text, replaced whole.
 */
export type StateItem = 'authority' | 'packKey' | 'adminToken';

/** Domains do not know whether that is a directory or a Secret (ADR 0016). */
export interface StateStore {
  /**
   * As it is now, perhaps because another server wrote it.
   * @returns undefined: it was never made
   * @throws OpenlineError STATE_UNAVAILABLE
   */
  read(item: StateItem): Promise<string | undefined>;
  /**
   * Puts what `change` makes of an item into its place. When another server was faster, `change` is asked again with what that one wrote: of two
   * that start at once, one makes it. What stays the same is not written.
   * @returns what is kept now
   * @throws OpenlineError STATE_UNAVAILABLE; nothing was changed
   */
  update(item: StateItem, change: (kept: string | undefined) => string | Promise<string>): Promise<string>;
}

/** Relative to the data directory. */
export const STATE_FILES = {
  authority: 'ca/authority.json',
  packKey: 'keys/packs.key',
  adminToken: 'admin-token',
} as const satisfies Record<StateItem, string>;
