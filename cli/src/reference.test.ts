import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { renderCliReference } from './testing/reference.ts';

const FILE = join(import.meta.dirname, '..', '..', 'docs', 'cli.md');
const BEGIN =
  '<!-- reference: begin (made from the commands; UPDATE_DOCS=1 vitest run cli/src/reference.test.ts) -->\n';
const END = '<!-- reference: end -->\n';

it('docs/cli.md lists every command and flag as it is', () => {
  const text = readFileSync(FILE, 'utf8');
  const from = text.indexOf(BEGIN) + BEGIN.length;
  const to = text.indexOf(END);
  expect(from).toBeGreaterThan(BEGIN.length - 1);
  if (process.env['UPDATE_DOCS'] === '1')
    writeFileSync(FILE, `${text.slice(0, from)}\n${renderCliReference()}\n${text.slice(to)}`);
  else expect(text.slice(from, to)).toBe(`\n${renderCliReference()}\n`);
});
