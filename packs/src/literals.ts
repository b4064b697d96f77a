/**
 * What must stand in any text that an RE2 pattern matches: looking for it is many times cheaper than matching, and most events match nothing.
 * Where the pattern says something that this does not follow, it gives no literals, and the pattern alone decides.
 */
export interface RequiredLiterals {
  /** One of them is there wherever the pattern matches. */
  readonly anyOf: readonly string[];
  /** They are lower case, and stand in the text `foldCase` gives. */
  readonly ignoreCase: boolean;
}

/** Lower case as RE2 folds ASCII letters: the Kelvin sign and the long s are k and s to it. */
export function foldCase(text: string): string {
  const lower = text.toLowerCase();
  return lower.includes('ſ') ? lower.replaceAll('ſ', 's') : lower;
}

const MAX_ALTERNATIVES = 8;

export function requiredLiterals(pattern: string): RequiredLiterals | undefined {
  const flags = /^\(\?([ismU]+)\)/.exec(pattern);
  const ignoreCase = flags?.[1]?.includes('i') ?? false;
  const reader = { text: pattern, at: flags?.[0].length ?? 0 };
  const anyOf = readAlternatives(reader);
  if (anyOf === undefined || reader.at < pattern.length) return undefined;
  if (!ignoreCase) return { anyOf, ignoreCase };
  // Beyond ASCII, folding has more cases than are worth following.
  if (anyOf.some((literal) => !/^[\x20-\x7e]*$/.test(literal))) return undefined;
  return { anyOf: anyOf.map((literal) => literal.toLowerCase()), ignoreCase };
}

interface Reader {
  readonly text: string;
  at: number;
}

/** Up to the end or an unmatched `)`. Undefined: nothing is known to be required, or the pattern is not followed. */
function readAlternatives(reader: Reader): string[] | undefined {
  const found: string[] = [];
  let known = true;
  for (;;) {
    const longest = readSequence(reader);
    if (longest === undefined || longest.length === 0) known = false;
    else found.push(...longest);
    if (reader.text[reader.at] !== '|') break;
    reader.at++;
  }
  return known && found.length <= MAX_ALTERNATIVES ? found : undefined;
}

/** The best of what a sequence requires: its longest run of characters, or what one of its groups requires. */
function readSequence(reader: Reader): readonly string[] | undefined {
  let best: readonly string[] = [];
  let run = '';
  const consider = (candidate: readonly string[]) => {
    if (shortest(candidate) > shortest(best)) best = candidate;
  };
  const endRun = () => {
    if (run !== '') consider([run]);
    run = '';
  };
  for (;;) {
    const char = reader.text[reader.at];
    if (char === undefined || char === '|' || char === ')') break;
    const atom = readAtom(reader);
    if (atom === undefined) return undefined;
    const times = readTimes(reader);
    if (times === undefined) return undefined;
    if (times.min > 0 && atom.kind === 'char') {
      run += atom.char;
      if (times.more) endRun();
    } else {
      endRun();
      if (times.min > 0 && atom.kind === 'group') consider(atom.anyOf);
    }
  }
  endRun();
  return best;
}

function shortest(literals: readonly string[]): number {
  return literals.length === 0 ? 0 : Math.min(...literals.map((each) => each.length));
}

type Atom =
  | { readonly kind: 'char'; readonly char: string }
  | { readonly kind: 'group'; readonly anyOf: readonly string[] }
  /** Anything that requires no certain character. */
  | { readonly kind: 'other' };
const other: Atom = { kind: 'other' };

function readAtom(reader: Reader): Atom | undefined {
  const char = charAt(reader);
  reader.at += char.length;
  switch (char) {
    case '(':
      return readGroup(reader);
    case '[':
      return readClass(reader);
    case '\\':
      return readEscape(reader);
    case '.':
    case '^':
    case '$':
      return other;
    case '*':
    case '+':
    case '?':
    case '{':
      return undefined;
    default:
      return { kind: 'char', char };
  }
}

function charAt({ text, at }: Reader): string {
  return String.fromCodePoint(text.codePointAt(at) ?? 0);
}

function readGroup(reader: Reader): Atom | undefined {
  const opening = /^\?(?::|P?<[A-Za-z0-9_]+>)/.exec(reader.text.slice(reader.at, reader.at + 80));
  if (opening !== null) reader.at += opening[0].length;
  else if (reader.text[reader.at] === '?') return undefined;
  const anyOf = readAlternatives(reader);
  if (reader.text[reader.at] !== ')') return undefined;
  reader.at++;
  return anyOf === undefined ? other : { kind: 'group', anyOf };
}

function readClass(reader: Reader): Atom | undefined {
  const { text } = reader;
  let i = reader.at;
  if (text[i] === '^') i++;
  if (text[i] === ']') i++;
  for (; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '[' && text[i + 1] === ':') {
      const end = text.indexOf(':]', i + 2);
      if (end < 0) return undefined;
      i = end + 1;
    } else if (text[i] === ']') {
      reader.at = i + 1;
      return other;
    }
  }
  return undefined;
}

function readEscape(reader: Reader): Atom | undefined {
  const char = charAt(reader);
  reader.at += char.length;
  if (/[^A-Za-z0-9]/.test(char)) return { kind: 'char', char };
  // \Q…\E, \x41, \p{…} and octals have more to them than one character.
  return /[dDsSwWbBAz]/.test(char) ? other : undefined;
}

function readTimes(reader: Reader): { readonly min: number; readonly more: boolean } | undefined {
  const quantifier = /^(?:[*+?]|\{(\d+)(,\d*)?\})/.exec(reader.text.slice(reader.at, reader.at + 16));
  if (quantifier === null) return { min: 1, more: false };
  reader.at += quantifier[0].length;
  if (reader.text[reader.at] === '?') reader.at++;
  const [whole, min] = quantifier;
  if (whole === '*' || whole === '?') return { min: 0, more: true };
  return { min: whole === '+' ? 1 : Number(min), more: true };
}
