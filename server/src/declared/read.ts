import { didYouMean } from '@openline/packs';
import { choiceOf, entriesOf, fieldsOf, need, textOf } from '@openline/packs/read';
import { type Located, plain, type Report, readDocuments } from '@openline/packs/source';
import { MAX_DECLARED_FILE_BYTES } from '@openline/proto/limits';
import type { DeclaredRegistry, KindEntry, ParsedObject } from './registry.ts';

/** From the text of files to objects that can be stored. Pure. */

const API_VERSION = 'openline.dev/v1';
const MAX_NAME_CHARS = 63;
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

export interface SourceFile {
  /** For the places in messages. */
  readonly name: string;
  readonly content: Uint8Array;
}

export interface DeclaredDocument {
  readonly entry: KindEntry;
  readonly name: string;
  readonly parsed: ParsedObject;
  /** As written, without its places; what `-o json` shows. */
  readonly spec: unknown;
  /** The document as it stands in its file. */
  readonly text: string;
  /** Of its file: for what is found wrong later. */
  readonly report: Report;
  /** Where its name stands. */
  readonly at: number;
}

export interface ReadResult {
  readonly documents: readonly DeclaredDocument[];
  /** "file:line:column: message", in the order of the files; with any of them nothing may be stored. */
  problems(): string[];
}

export function readFiles(registry: DeclaredRegistry, files: readonly SourceFile[]): ReadResult {
  const reports: { fileName: string; report: Report }[] = [];
  const documents: DeclaredDocument[] = [];
  const seen = new Map<string, string>();
  for (const { name: fileName, content } of files) {
    const { report, documents: found } = readDocuments(content, 'a file of declared objects', MAX_DECLARED_FILE_BYTES);
    for (const { root, text } of found) {
      const read = readDocument(registry, report, root);
      if (read === undefined) continue;
      const key = `${read.entry.kind}/${read.name}`;
      const before = seen.get(key);
      if (before === undefined) seen.set(key, fileName);
      else report.add(read.at, `${key} is there twice${before === fileName ? '' : `; it is also in ${before}`}`);
      documents.push({ ...read, text: `${text.trim()}\n`, report });
    }
    reports.push({ fileName, report });
  }
  return {
    documents,
    problems: () =>
      reports.flatMap(({ fileName, report }) =>
        report.issues().map((i) => `${fileName}:${i.line}:${i.column}: ${i.message}`),
      ),
  };
}

function readDocument(
  registry: DeclaredRegistry,
  report: Report,
  root: Located,
): Pick<DeclaredDocument, 'entry' | 'name' | 'parsed' | 'spec' | 'at'> | undefined {
  if (root.kind !== 'map') {
    report.add(root.at, 'an object is a mapping with apiVersion, kind, metadata and spec');
    return undefined;
  }
  const fields = fieldsOf(report, root, 'the object', ['apiVersion', 'kind', 'metadata', 'spec']);
  const apiVersion = need(report, root.at, fields.apiVersion?.value, `the object needs 'apiVersion: ${API_VERSION}'`);
  choiceOf(report, apiVersion, "'apiVersion'", [API_VERSION]);
  const entry = readKind(registry, report, root, fields.kind?.value);
  const metadata = need(report, root.at, fields.metadata?.value, "the object needs 'metadata: {name: …}'");
  const { name, at } = readName(report, metadata, root.at);
  const spec = need(report, root.at, fields.spec?.value, "the object needs 'spec'");
  if (entry === undefined || spec === undefined) return undefined;
  // Also where the name is wrong, so that one look finds every problem.
  const parsed = entry.parse(spec, report, name ?? '');
  if (parsed === undefined || name === undefined) return undefined;
  return { entry, name, parsed, spec: plain(spec), at };
}

function readKind(
  registry: DeclaredRegistry,
  report: Report,
  root: Located,
  node: Located | undefined,
): KindEntry | undefined {
  const kinds = registry.all().map(({ kind }) => kind);
  const word = textOf(report, need(report, root.at, node, "the object needs 'kind'"), "'kind'", 100);
  if (node === undefined || word === undefined) return undefined;
  const entry = registry.all().find(({ kind }) => kind === word);
  if (entry !== undefined) return entry;
  const hint =
    word === 'Pack'
      ? '; packs are pushed: `openline packs push`'
      : didYouMean(word, kinds) || `; there are ${kinds.join(', ')}`;
  report.add(node.at, `there is no kind '${word}'${hint}`);
  return undefined;
}

function readName(report: Report, metadata: Located | undefined, at: number): { name: string | undefined; at: number } {
  const entries = entriesOf(report, metadata, "'metadata'");
  const { name: entry } = fieldsOf(report, metadata?.kind === 'map' ? metadata : undefined, "'metadata'", ['name']);
  if (metadata?.kind === 'map' && !entries.has('name')) report.add(metadata.at, "'metadata' needs 'name'");
  const name = textOf(report, entry?.value, "'name'", MAX_NAME_CHARS);
  const place = entry?.value.at ?? at;
  if (name === undefined || NAME.test(name)) return { name, at: place };
  report.add(place, `'${name}' is no name: a to z, 0 to 9 and -, beginning and ending with a letter or a digit`);
  return { name: undefined, at: place };
}
