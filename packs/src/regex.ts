import { RE2JS, RE2JSException } from 're2js';

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
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (cause) {
    if (!(cause instanceof RE2JSException)) throw cause;
    throw new Error(cause.message.replace('error parsing regexp: ', ''), { cause });
  }
  return {
    test: (text) => compiled.test(text),
    // ajv keeps one compiled pattern for each text that this gives.
    toString: () => `re2:${pattern}`,
  };
}
