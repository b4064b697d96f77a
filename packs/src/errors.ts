import { OpenlineError } from '@openline/proto/errors';

/** One problem in a pack file. Lines and columns count from 1. */
export interface PackIssue {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

const SHOWN_ISSUES = 20;

/** PACK_INVALID with every problem that was found, in the order of the file. The message has one `file:line:column: sentence` per line. */
export class PackError extends OpenlineError {
  readonly fileName: string;
  readonly issues: readonly PackIssue[];

  constructor(fileName: string, issues: readonly PackIssue[]) {
    const lines = issues.slice(0, SHOWN_ISSUES).map((i) => `${fileName}:${i.line}:${i.column}: ${i.message}`);
    if (issues.length > SHOWN_ISSUES) lines.push(`… and ${issues.length - SHOWN_ISSUES} more`);
    super('PACK_INVALID', lines.join('\n'));
    this.fileName = fileName;
    this.issues = issues;
  }
}
