import { readDocuments } from '@openline/packs/source';
import type { DeclaredKind, ParseContext } from '../declared/declared.ts';

/** For tests: one `spec` of a declared kind, and what is wrong with it as "line:column: message". */
export function readSpec<Spec>(
  kind: DeclaredKind<Spec>,
  yaml: string,
): { readonly spec: Spec | undefined; readonly problems: readonly string[] } {
  const { report, documents } = readDocuments(Buffer.from(yaml), 'a test', 10_000);
  const root = documents[0]?.root;
  const context: ParseContext = { report, name: 'x', refer: () => {}, trait: () => {} };
  const spec = root && kind.parse(root, context);
  return { spec, problems: report.issues().map((i) => `${i.line}:${i.column}: ${i.message}`) };
}

/** @throws Error when something is wrong with it */
export function specOf<Spec>(kind: DeclaredKind<Spec>, yaml: string): Spec {
  const { spec, problems } = readSpec(kind, yaml);
  if (spec === undefined || problems.length > 0) throw new Error(`${yaml}: ${problems.join('; ')}`);
  return spec;
}
