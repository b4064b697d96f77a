import { fieldsOf, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';

/** Where a secret is found when it is used. The secret itself is never stored, shown or logged. */
export type SecretRef =
  | { readonly from: 'env'; readonly name: string }
  /** Absolute, or below the server's secrets directory. */
  | { readonly from: 'file'; readonly path: string };

/** Only these variables: a channel must not be able to send away what else the server's environment holds. */
export const SECRET_VARIABLE = /^OPENLINE_SECRET_[A-Z0-9_]{1,100}$/;

/** `{env: OPENLINE_SECRET_NAME}` or `{file: name}`. */
export function readSecretRef(report: Report, node: Located | undefined, what: string): SecretRef | undefined {
  if (node === undefined) return undefined;
  if (node.kind !== 'map') {
    report.add(node.at, `${what} is a secret: say where it is found, {env: OPENLINE_SECRET_…} or {file: …}`);
    return undefined;
  }
  const fields = fieldsOf(report, node, what, ['env', 'file']);
  if ((fields.env === undefined) === (fields.file === undefined)) {
    report.add(node.at, `${what} needs either 'env' or 'file'`);
    return undefined;
  }
  const name = textOf(report, fields.env?.value, "'env'", 120);
  if (name !== undefined) {
    if (SECRET_VARIABLE.test(name)) return { from: 'env', name };
    report.add(fields.env?.value.at ?? node.at, "'env' must name a variable that begins with OPENLINE_SECRET_");
    return undefined;
  }
  const path = textOf(report, fields.file?.value, "'file'", 4096);
  return path === undefined ? undefined : { from: 'file', path };
}
