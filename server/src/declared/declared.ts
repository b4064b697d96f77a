import type { Located, Report } from '@openline/packs/source';
import type { Role } from '../access/access.ts';
import type { Tx } from '../db/transaction.ts';

/**
 * What people declare in YAML and give to `openline apply`: one document each, `apiVersion: openline.dev/v1`, `kind`, `metadata: {name}`,
 * `spec`. Each domain describes its kinds here; reading, storing, showing and deleting them is the same for all.
 */
export interface DeclaredKind<Spec> {
  /** As after `kind:`, e.g. "Channel". */
  readonly kind: string;
  /** As on the command line, e.g. "channels". */
  readonly plural: string;
  /** The least role that may apply and delete objects of this kind. */
  readonly role: Role;
  /**
   * Reads `spec`. What is wrong goes to the report, at its place; then what is returned is not used. Pure: called again for what is
   * stored, by every replica and after every restart. Secrets are references (`secretOf`), never values.
   */
  parse(spec: Located, context: ParseContext): Spec | undefined;
  /**
   * In the transaction that stores what one apply or delete changed, before its commit. Throwing refuses all of it.
   * Only on the replica that was asked.
   */
  saving?(changes: readonly DeclaredChange<Spec>[], tx: Tx): Promise<void>;
}

export interface ParseContext {
  readonly report: Report;
  /** `metadata.name`. */
  readonly name: string;
  /** The object needs another one: that must be there once everything is applied, and cannot be deleted while this one is. */
  refer(kind: string, name: string, at: number, unless?: { readonly trait: string; readonly message: string }): void;
  /** What others that refer to this object must know of it; see `unless` of `refer`: with that trait, it is refused with that message. */
  trait(name: string): void;
}

export interface DeclaredObject<Spec> {
  readonly name: string;
  readonly spec: Spec;
  readonly updatedBy: string;
  readonly updatedAt: Date;
}

export interface DeclaredChange<Spec> {
  readonly name: string;
  /** undefined: it is new. */
  readonly before: Spec | undefined;
  /** undefined: it is deleted. */
  readonly after: Spec | undefined;
  /** Of what is applied: what goes there, with its place in the file, refuses all of it as well. */
  readonly report?: Pick<Report, 'add'>;
}

/** What holds of one kind, in memory: as committed here, and at most REFRESH_MS old of what other replicas committed. */
export interface Declared<Spec> {
  /** By name. The same array until something changes. */
  list(): readonly DeclaredObject<Spec>[];
  get(name: string): DeclaredObject<Spec> | undefined;
  /** Called after each change was committed and is in `list()`; must not throw. */
  onChange(listener: () => void): void;
}

/** A new object is at work on other replicas within this time, milliseconds. */
export const REFRESH_MS = 2_000;
