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
} from 'yaml';
import type { PackIssue } from './errors.ts';

/** A value of the file, and the offset where it stands. What the rest of the parser works on: plain, without aliases. */
export type Located =
  | { readonly kind: 'scalar'; readonly at: number; readonly value: string | number | boolean | null }
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

/** YAML 1.2 to plain values with positions. */
export function readSource(content: Uint8Array): { report: Report; root: Located | undefined } {
  const lines = new LineCounter();
  lines.addNewLine(0);
  const report = createReport(lines);
  const text = decode(content, lines, report);
  if (text === undefined) return { report, root: undefined };
  const document = compose(text, lines, report);
  if (document === undefined) return { report, root: undefined };
  return { report, root: locate(document, report) };
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

function decode(content: Uint8Array, lines: LineCounter, report: Report): string | undefined {
  if (content.length > MAX_PACK_BYTES) {
    report.add(0, `the file is ${content.length} bytes; a pack is at most ${MAX_PACK_BYTES}`);
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

function compose(text: string, lines: LineCounter, report: Report): Document | undefined {
  // yaml tells of every line start but the first, which is there already.
  const parser = new Parser((offset) => offset > 0 && lines.addNewLine(offset));
  const tokens = [];
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    tokens.push(...parser.next(lexeme));
    if (parser.stack.length > MAX_DEPTH) {
      report.add(parser.offset, `values are nested more than ${MAX_DEPTH} deep here`);
      return undefined;
    }
    if (++count > MAX_TOKENS) {
      report.add(parser.offset, `the file has more than ${MAX_TOKENS} tokens; that is no pack`);
      return undefined;
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
  const [document, second] = [...composer.compose(tokens, true, text.length)];
  if (document === undefined) return undefined;
  for (const problem of [...document.errors, ...document.warnings]) report.add(problem.pos[0], plainWords(problem));
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
    report.add(0, 'packs are YAML 1.2; remove the %YAML line');
  }
  if (second !== undefined)
    report.add(second.range[0], 'a second YAML document begins here; a pack is one document per file');
  return report.count() > 0 ? undefined : document;
}

function plainWords(problem: { code: string; message: string }): string {
  if (problem.code === 'DUPLICATE_KEY') return 'this key is there twice in the same mapping';
  const [first = ''] = problem.message.split('\n');
  return `this is not YAML as a pack may use it: ${first.charAt(0).toLowerCase()}${first.slice(1)}`;
}

function locate(document: Document, report: Report): Located | undefined {
  let left = MAX_VALUES;
  let tooMany = false;
  const resolved = new Map<Alias, Node>();
  const visit = (node: unknown, fallbackAt: number, depth: number): Located => {
    if (isAlias(node)) return visitAlias(node, fallbackAt, depth);
    const at = rangeStart(node) ?? fallbackAt;
    const nothing: Located = { kind: 'scalar', at, value: null };
    if (--left < 0 || depth > MAX_DEPTH) {
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
    return plain ? { kind: 'scalar', at, value } : nothing;
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
