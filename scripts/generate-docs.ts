// Pages of docs/ that are made of the code. Each page has a test beside the code that compares the two.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ERRORS } from '../proto/src/errors.ts';

const docsDir = join(import.meta.dirname, '..', 'docs');

export async function generateDocs(): Promise<void> {
  await writeFile(join(docsDir, 'errors.md'), renderErrors());
}

/** docs/errors.md, in the order of the registry: dispatches, link, operator API, start. */
export function renderErrors(): string {
  const entries = Object.entries(ERRORS).map(
    ([code, { means, doNext }]) => `## ${code}\n\n${means}\n\nWhat to do: ${doNext}\n`,
  );
  return `# Errors

Generated from \`proto/src/errors.ts\` by \`npm run generate\`; do not edit.

Every refusal and every reason of a dispatch has one of these codes. The code is the interface: scripts may depend on it, and a code
that was retired is never used for something else. The message beside it is for people and may change.

- The CLI prints the code in brackets: \`[RUN_UNKNOWN] there is no run «…»\`.
- On the operator API the status message begins with the code in brackets, and the trailing metadata \`openline-error-code\` carries it.
- A dispatch that did not succeed carries it as \`reasonCode\`.

${entries.join('\n')}`;
}
