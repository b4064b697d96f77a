import { RE2JS, RE2JSException } from 're2js';
import { foldCase, requiredLiterals } from './literals.ts';

/** With `pattern` and no `maxLength`, a string has at most this many characters. */
export const DEFAULT_PATTERN_MAX_LENGTH = 4096;
/** The most that `maxLength` may say beside `pattern`: matching takes time in proportion to length times pattern size. */
export const MAX_PATTERN_MAX_LENGTH = 65_536;
export const MAX_PATTERN_CHARS = 1000;

/**
 * RE2: time linear in the input whatever the pattern, at the price of look-around and back-references.
 * @throws Error with a plain sentence, when the pattern cannot be used
 */
export function compilePattern(pattern: string): { test(text: string): boolean; toString(): string } {
  const compiled = compile(pattern);
  return {
    test: (text) => compiled.test(text),
    // ajv keeps one compiled pattern for each text that this gives.
    toString: () => `re2:${pattern}`,
  };
}

/** Text that many patterns look at; what they share of it is worked out once. */
export class Searched {
  readonly text: string;
  #folded: string | undefined;

  constructor(text: string) {
    this.text = text.length > MAX_SEARCHED_CHARS ? text.slice(0, MAX_SEARCHED_CHARS) : text;
  }

  get folded(): string {
    this.#folded ??= foldCase(this.text);
    return this.#folded;
  }
}

/** Of a message, beyond which nothing is looked for. */
export const MAX_SEARCHED_CHARS = 8192;

export interface SearchPattern {
  readonly groups: readonly string[];
  test(searched: Searched): boolean;
  /** Named groups; '' for one that took no part, and for all when it does not match. */
  captures(text: string): Readonly<Record<string, string>>;
}

/** For messages, most of which do not match. @throws Error as `compilePattern` does */
export function compileSearch(pattern: string): SearchPattern {
  const compiled = compile(pattern);
  const groups = Object.keys(compiled.namedGroups());
  const none = Object.fromEntries(groups.map((name) => [name, '']));
  const required = requiredLiterals(pattern);
  const mayMatch = (searched: Searched): boolean => {
    if (required === undefined) return true;
    const text = required.ignoreCase ? searched.folded : searched.text;
    for (const literal of required.anyOf) if (text.includes(literal)) return true;
    return false;
  };
  return {
    groups,
    test: (searched) => mayMatch(searched) && compiled.test(searched.text),
    captures(text) {
      if (groups.length === 0) return none;
      const matcher = compiled.matcher(text);
      if (!matcher.find()) return none;
      return Object.fromEntries(groups.map((name) => [name, matcher.group(name) ?? '']));
    },
  };
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (cause) {
    if (!(cause instanceof RE2JSException)) throw cause;
    throw new Error(cause.message.replace('error parsing regexp: ', ''), { cause });
  }
}
