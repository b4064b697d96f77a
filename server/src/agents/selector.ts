import { OpenlineError } from '@openline/proto/errors';
import { type RawBuilder, sql } from 'kysely';

/**
 * Target expressions: Kubernetes label selectors over labels, facts and `name`.
 * A key is looked up in the labels first, then in the facts. `all` selects every agent.
 */
export type Term =
  | { readonly kind: 'in'; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: 'notin'; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: 'exists'; readonly key: string }
  | { readonly kind: 'absent'; readonly key: string };

/** Every term must hold; no terms: all agents. */
export type Selector = readonly Term[];

const MAX_EXPRESSION_CHARS = 64 * 1024;
const KEY = /[A-Za-z0-9_./-]+/y;
const VALUE = /[^\s,()=!]*/y;
const SPACE = /\s*/y;

/** @throws OpenlineError TARGETS_INVALID with the position */
export function parseSelector(text: string): Selector {
  if (text.length > MAX_EXPRESSION_CHARS) {
    throw new OpenlineError(
      'TARGETS_INVALID',
      `the target expression is longer than ${MAX_EXPRESSION_CHARS} characters`,
    );
  }
  if (text.trim() === '')
    throw new OpenlineError('TARGETS_INVALID', 'no targets: say `all`, or which agents, e.g. role=web');
  if (text.trim() === 'all') return [];
  return new Parser(text).parse();
}

class Parser {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text;
  }

  parse(): Selector {
    const terms: Term[] = [];
    do terms.push(this.#term());
    while (this.#eat(','));
    if (this.#at < this.#text.length) this.#fail('expected `,` or the end');
    return terms;
  }

  #term(): Term {
    if (this.#eat('!')) return { kind: 'absent', key: this.#word(KEY, 'a key after `!`') };
    const key = this.#word(KEY, 'a label, a fact or `name`');
    if (this.#eat('!=')) return { kind: 'notin', key, values: [this.#word(VALUE)] };
    if (this.#eat('==') || this.#eat('=')) return { kind: 'in', key, values: [this.#word(VALUE)] };
    if (this.#eatWord('notin')) return { kind: 'notin', key, values: this.#list() };
    if (this.#eatWord('in')) return { kind: 'in', key, values: this.#list() };
    return { kind: 'exists', key };
  }

  #list(): string[] {
    if (!this.#eat('(')) this.#fail('expected `(` before the list of values');
    const values: string[] = [];
    do values.push(this.#word(VALUE));
    while (this.#eat(','));
    if (!this.#eat(')')) this.#fail('expected `,` or `)` in the list of values');
    return values;
  }

  /** @param wanted when given, an empty word is an error */
  #word(pattern: RegExp, wanted?: string): string {
    this.#skipSpace();
    pattern.lastIndex = this.#at;
    const word = pattern.exec(this.#text)?.[0] ?? '';
    if (word === '' && wanted !== undefined) this.#fail(`expected ${wanted}`);
    this.#at += word.length;
    this.#skipSpace();
    return word;
  }

  #eat(token: string): boolean {
    this.#skipSpace();
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #eatWord(word: string): boolean {
    const next = this.#text[this.#at + word.length];
    return (next === undefined || /[\s(]/.test(next)) && this.#eat(word);
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
  }

  #fail(problem: string): never {
    throw new OpenlineError(
      'TARGETS_INVALID',
      `${problem} at character ${this.#at + 1} of the targets «${this.#text}»`,
    );
  }
}

/** Whether a selector can name a label by that key: `name` and `id` are the agent's own. */
export function isLabelKey(key: string): boolean {
  KEY.lastIndex = 0;
  return KEY.exec(key)?.[0] === key && key !== 'name' && key !== 'id';
}

/** What a selector looks at of one agent. */
export interface Attributes {
  readonly id: string;
  readonly name: string;
  /** The pinned ones included. */
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** The value that an agent has for a key: label, fact. */
export function attributeOf(agent: Attributes, key: string): string | undefined {
  if (key === 'name') return agent.name;
  if (key === 'id') return agent.id;
  if (Object.hasOwn(agent.labels, key)) return agent.labels[key];
  return Object.hasOwn(agent.facts, key) ? agent.facts[key] : undefined;
}

/** Whether an agent is selected: here and not in the database, which says the same (`selectorSql`). */
export function selects(selector: Selector, agent: Attributes): boolean {
  return selector.every((term) => {
    const value = attributeOf(agent, term.key);
    switch (term.kind) {
      case 'in':
        return value !== undefined && term.values.includes(value);
      case 'notin':
        return value === undefined || !term.values.includes(value);
      case 'exists':
        return value !== undefined;
      case 'absent':
        return value === undefined;
      default:
        return term satisfies never;
    }
  });
}

/** The value that an agent has for a key, as SQL over the row `agents`: pinned label, label, fact. */
export function valueSql(key: string): RawBuilder<string | null> {
  if (key === 'name') return sql`agents.name`;
  if (key === 'id') return sql`agents.id`;
  return sql`coalesce(agents.pinned_labels ->> ${key}, agents.labels ->> ${key}, agents.facts ->> ${key})`;
}

/** As in Kubernetes, `!=` and `notin` also hold where the key is absent. */
function termSql(term: Term): RawBuilder<boolean> {
  const value = valueSql(term.key);
  switch (term.kind) {
    case 'in':
      return sql`${value} = any(${term.values}::text[])`;
    case 'notin':
      return sql`(${value} is null or ${value} <> all(${term.values}::text[]))`;
    case 'exists':
      return sql`${value} is not null`;
    case 'absent':
      return sql`${value} is null`;
    default:
      return term satisfies never;
  }
}

export function selectorSql(selector: Selector): RawBuilder<boolean> {
  return selector.length === 0 ? sql`true` : sql.join(selector.map(termSql), sql` and `);
}
