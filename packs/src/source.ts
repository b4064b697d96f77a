import { isUtf8 } from 'node:buffer';
import { MAX_PACK_BYTES } from '@openline/proto/limits';
import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
} from 'yaml';
import type { PackIssue } from './errors.ts';

/** A value of the file, and the offset where it stands. What the rest of the parser works on: plain, without aliases. */
export type Located =
  | {
      readonly kind: 'scalar';
      readonly at: number;
      readonly value: string | number | boolean | null;
      /** Where the value's first character stands, when the file has it letter by letter. */
      readonly textAt?: number;
    }
  | { readonly kind: 'list'; readonly at: number; readonly items: readonly Located[] }
  | { readonly kind: 'map'; readonly at: number; readonly entries: ReadonlyMap<string, Entry> };

export interface Entry {
  readonly keyAt: number;
  readonly value: Located;
}

/** Collects what is wrong, in any order; `issues()` gives it in the order of the file. */
export interface Report {
  add(at: number, message: string): void;
  count(): number;
  issues(): PackIssue[];
}

/** yaml's composer recurses, and V8 ends the whole process when a regular expression is first compiled with the stack nearly used up. */
const MAX_DEPTH = 64;
/** yaml compares each key of a mapping with each other: without this, one mapping of a mebibyte keeps it busy for minutes. */
const MAX_TOKENS = 50_000;
/** Values after aliases are expanded. Far above any real pack, far below an alias bomb. */
const MAX_VALUES = 50_000;

/** How messages call what is read, and how large it may be. */
interface Reading {
  /** "a pack" */
  readonly what: string;
  readonly maxBytes: number;
  readonly documents: 'one' | 'many';
}

const PACK: Reading = { what: 'a pack', maxBytes: MAX_PACK_BYTES, documents: 'one' };

/** YAML 1.2 to plain values with positions. */
export function readSource(content: Uint8Array): { report: Report; root: Located | undefined } {
  const { report, documents } = read(content, PACK);
  return { report, root: documents[0]?.root };
}

export interface SourceDocument {
  readonly root: Located;
  /** As it stands in the file, with its comments. */
  readonly text: string;
}

/**
 * A file of any number of YAML documents. Documents without content are left out. The same limits as for a pack hold, for all together.
 * @param what for messages, e.g. "a file of declared objects"
 */
export function readDocuments(
  content: Uint8Array,
  what: string,
  maxBytes: number,
): { report: Report; documents: readonly SourceDocument[] } {
  return read(content, { what, maxBytes, documents: 'many' });
}

function read(content: Uint8Array, reading: Reading): { report: Report; documents: readonly SourceDocument[] } {
  const lines = new LineCounter();
  lines.addNewLine(0);
  const report = createReport(lines);
  const text = decode(content, lines, report, reading);
  if (text === undefined) return { report, documents: [] };
  const budget = { left: MAX_VALUES };
  let begin = 0;
  const documents: SourceDocument[] = [];
  for (const document of compose(text, lines, report, reading)) {
    const root = locate(document, report, budget);
    const end = document.range[2];
    if (root !== undefined && (reading.documents === 'one' || !isNothing(root))) {
      documents.push({ root, text: withoutMarkers(text.slice(begin, end)) });
    }
    begin = end;
  }
  return { report, documents };
}

function isNothing(node: Located): boolean {
  return node.kind === 'scalar' && node.value === null;
}

function withoutMarkers(text: string): string {
  return text.replace(/^\s*---[ \t]*\r?\n?/, '').replace(/(?<=^|\n)\.\.\.\s*$/, '');
}

function createReport(lines: LineCounter): Report {
  const found: { at: number; message: string }[] = [];
  return {
    add(at, message) {
      found.push({ at, message });
    },
    count: () => found.length,
    issues() {
      const seen = new Set<string>();
      return found
        .toSorted((a, b) => a.at - b.at)
        .map(({ at, message }) => {
          const { line, col } = lines.linePos(at);
          return { line, column: Math.max(col, 1), message };
        })
        .filter((issue) => {
          // What an alias repeats is wrong only once.
          const key = `${issue.line}:${issue.column}:${issue.message}`;
          return seen.size !== seen.add(key).size;
        });
    },
  };
}

function decode(
  content: Uint8Array,
  lines: LineCounter,
  report: Report,
  { what, maxBytes }: Reading,
): string | undefined {
  if (content.length > maxBytes) {
    report.add(0, `the file is ${content.length} bytes; ${what} is at most ${maxBytes}`);
    return undefined;
  }
  if (!isUtf8(content)) {
    report.add(offsetOfBadLine(content, lines), 'this line is not valid UTF-8; save the file in UTF-8');
    return undefined;
  }
  return new TextDecoder().decode(content);
}

/** A line feed is never part of a longer UTF-8 sequence, so each line can be looked at alone. */
function offsetOfBadLine(content: Uint8Array, lines: LineCounter): number {
  let start = 0;
  for (;;) {
    const end = content.indexOf(0x0a, start);
    if (end < 0 || !isUtf8(content.subarray(start, end))) return start;
    start = end + 1;
    lines.addNewLine(start);
  }
}

function compose(text: string, lines: LineCounter, report: Report, reading: Reading): Document.Parsed[] {
  // yaml tells of every line start but the first, which is there already.
  const parser = new Parser((offset) => offset > 0 && lines.addNewLine(offset));
  const tokens = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    tokens.push(...parser.next(lexeme));
    if (parser.stack.length > MAX_DEPTH) {
      report.add(parser.offset, `values are nested more than ${MAX_DEPTH} deep here`);
      return [];
    }
    if (++count > MAX_TOKENS) {
      report.add(parser.offset, `the file has more than ${MAX_TOKENS} tokens; that is too much for ${reading.what}`);
      return [];
    }
  }
  tokens.push(...parser.end());
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'silent',
  });
  const documents = [...composer.compose(tokens, true, text.length)];
  for (const { errors, warnings, directives } of documents) {
    for (const problem of [...errors, ...warnings]) report.add(problem.pos[0], plainWords(problem, reading.what));
    if (directives.yaml.explicit && directives.yaml.version !== '1.2') {
      report.add(0, `${reading.what} is YAML 1.2; remove the %YAML line`);
    }
  }
  const [, second] = documents;
  if (second !== undefined && reading.documents === 'one')
    report.add(second.range[0], `a second YAML document begins here; ${reading.what} is one document per file`);
  return report.count() > 0 ? [] : documents;
}

function plainWords(problem: { code: string; message: string }, what: string): string {
  if (problem.code === 'DUPLICATE_KEY') return 'this key is there twice in the same mapping';
  const [first = ''] = problem.message.split('\n');
  return `this is not YAML as ${what} may use it: ${first.charAt(0).toLowerCase()}${first.slice(1)}`;
}

/** @param budget values that may still come; all documents of a file share it */
function locate(document: Document, report: Report, budget: { left: number }): Located | undefined {
  let tooMany = false;
  const resolved = new Map<Alias, Node>();
  const visit = (node: unknown, fallbackAt: number, depth: number): Located => {
    if (isAlias(node)) return visitAlias(node, fallbackAt, depth);
    const at = rangeStart(node) ?? fallbackAt;
    const nothing: Located = { kind: 'scalar', at, value: null };
    if (--budget.left < 0 || depth > MAX_DEPTH) {
      if (!tooMany) report.add(at, 'aliases make the file grow without bound; write the values out');
      tooMany = true;
      return nothing;
    }
    if (isMap(node)) {
      const entries = new Map<string, Entry>();
      for (const { key, value } of node.items) {
        if (tooMany) break;
        const keyAt = rangeStart(key) ?? at;
        entries.set(isScalar(key) ? String(key.value) : '', { keyAt, value: visit(value, keyAt, depth + 1) });
      }
      return { kind: 'map', at, entries };
    }
    if (isSeq(node)) {
      const items: Located[] = [];
      for (const item of node.items) {
        if (tooMany) break;
        items.push(visit(item, at, depth + 1));
      }
      return { kind: 'list', at, items };
    }
    const value = isScalar(node) ? node.value : null;
    const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
    if (!plain) return nothing;
    const textAt = isScalar(node) ? verbatimAt(node) : undefined;
    return textAt === undefined ? { kind: 'scalar', at, value } : { kind: 'scalar', at, value, textAt };
  };
  const visitAlias = (alias: Alias, fallbackAt: number, depth: number): Located => {
    const at = rangeStart(alias) ?? fallbackAt;
    // yaml walks the whole document to resolve one, and an alias within an alias is met again and again.
    const anchored = resolved.get(alias) ?? alias.resolve(document);
    if (anchored !== undefined) resolved.set(alias, anchored);
    if (anchored === undefined) report.add(at, `there is no anchor &${alias.source} before this alias`);
    return visit(anchored, at, depth + 1);
  };

  const root = visit(document.contents, 0, 0);
  return tooMany ? undefined : root;
}

/** Escapes and folded lines make the value shorter, or longer, than what stands in the file. */
function verbatimAt({ type, value, range }: Scalar): number | undefined {
  if (typeof value !== 'string' || range === undefined || range === null) return undefined;
  const quotes = type === 'PLAIN' ? 0 : type === 'QUOTE_SINGLE' || type === 'QUOTE_DOUBLE' ? 1 : undefined;
  if (quotes === undefined || range[1] - range[0] !== value.length + 2 * quotes) return undefined;
  return range[0] + quotes;
}

function rangeStart(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  return typeof node.range[0] === 'number' ? node.range[0] : undefined;
}

/** The value without its positions. */
export function plain(node: Located): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(plain);
    case 'map':
      return Object.fromEntries([...node.entries].map(([key, { value }]) => [key, plain(value)]));
    default:
      return node satisfies never;
  }
}
