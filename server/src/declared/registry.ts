import type { Located, Report } from '@openline/packs/source';
import type { Role } from '../access/access.ts';
import type { Tx } from '../db/transaction.ts';
import type { Declared, DeclaredChange, DeclaredKind, DeclaredObject } from './declared.ts';

/** Which object another one needs, and where it says so. */
export interface Reference {
  readonly kind: string;
  readonly name: string;
  readonly at: number;
  /** The other one must not have this trait. */
  readonly unless: { readonly trait: string; readonly message: string } | undefined;
}

/** What the frame does with a kind without knowing its Spec. */
export interface KindEntry {
  readonly kind: string;
  readonly plural: string;
  readonly role: Role;
  /** @returns undefined when the report got something to say */
  parse(spec: Located, report: Report, name: string): ParsedObject | undefined;
  /** Replaces everything that is known of the kind. */
  load(objects: readonly StoredObject[]): void;
  saving(changes: readonly ObjectChange[], tx: Tx): Promise<void>;
  /** Tells those who listen to it. */
  changed(): void;
}

/** A spec that was read, and that only its own kind can look into. */
export interface ParsedObject {
  readonly references: readonly Reference[];
  readonly traits: ReadonlySet<string>;
  readonly box: object;
}

export interface StoredObject {
  readonly name: string;
  readonly parsed: ParsedObject;
  readonly updatedBy: string;
  readonly updatedAt: Date;
}

export interface ObjectChange {
  readonly name: string;
  /** undefined: it is new, or what was stored cannot be read by this build. */
  readonly before: ParsedObject | undefined;
  /** undefined: deleted. */
  readonly after: ParsedObject | undefined;
  readonly report?: Pick<Report, 'add'>;
}

export interface DeclaredRegistry {
  /** Before the service loads what is stored. @throws Error when two kinds have one name */
  register<Spec>(kind: DeclaredKind<Spec>): Declared<Spec>;
  /** By its kind or its plural, in any case; "channel" is also understood. */
  find(word: string): KindEntry | undefined;
  all(): readonly KindEntry[];
}

export function createDeclaredRegistry(): DeclaredRegistry {
  const entries: KindEntry[] = [];
  return {
    register(kind) {
      if (entries.some((entry) => entry.kind === kind.kind || entry.plural === kind.plural)) {
        throw new Error(`${kind.kind} is registered twice`);
      }
      const { entry, declared } = entryOf(kind);
      entries.push(entry);
      return declared;
    },
    find(word) {
      const wanted = word.toLowerCase();
      return entries.find(({ kind, plural }) => kind.toLowerCase() === wanted || plural === wanted);
    },
    all: () => entries,
  };
}

function entryOf<Spec>(kind: DeclaredKind<Spec>): { entry: KindEntry; declared: Declared<Spec> } {
  /** The one way back from a box to its spec. */
  const specs = new WeakMap<object, { readonly spec: Spec }>();
  const listeners: (() => void)[] = [];
  let byName = new Map<string, DeclaredObject<Spec>>();
  let list: readonly DeclaredObject<Spec>[] = [];

  const specOf = ({ box }: ParsedObject): Spec => {
    const held = specs.get(box);
    if (held === undefined) throw new Error(`this is no ${kind.kind}`);
    return held.spec;
  };

  const entry: KindEntry = {
    kind: kind.kind,
    plural: kind.plural,
    role: kind.role,
    parse(node, report, name) {
      const references: Reference[] = [];
      const traits = new Set<string>();
      const before = report.count();
      const spec = kind.parse(node, {
        report,
        name,
        refer: (to, target, at, unless) => void references.push({ kind: to, name: target, at, unless }),
        trait: (trait) => void traits.add(trait),
      });
      if (spec === undefined || report.count() > before) return undefined;
      const box = {};
      specs.set(box, { spec });
      return { references, traits, box };
    },
    load(objects) {
      list = objects
        .map(({ name, parsed, updatedBy, updatedAt }) => ({ name, spec: specOf(parsed), updatedBy, updatedAt }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1));
      byName = new Map(list.map((object) => [object.name, object]));
    },
    async saving(changes, tx) {
      const told = changes.map(
        ({ name, before, after, report }): DeclaredChange<Spec> => ({
          ...(report && { report }),
          name,
          before: before === undefined ? undefined : specOf(before),
          after: after === undefined ? undefined : specOf(after),
        }),
      );
      await kind.saving?.(told, tx);
    },
    changed() {
      for (const listener of listeners) listener();
    },
  };
  const declared: Declared<Spec> = {
    list: () => list,
    get: (name) => byName.get(name),
    onChange: (listener) => void listeners.push(listener),
  };
  return { entry, declared };
}
