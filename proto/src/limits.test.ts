import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as limits from './limits.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/limits.md'), 'utf8');
/** Rows that begin with the name of a constant: | `NAME` | 1,234 (…) | */
const rows = new Map(
  [...page.matchAll(/^\| `([A-Z_]+)` \| ([\d,]+)/gm)].map(([, name, value]) => [
    name,
    Number(value?.replaceAll(',', '')),
  ]),
);

describe('docs/limits.md', () => {
  it('has every limit that both ends know, with its value, and no other', () => {
    expect(Object.fromEntries(rows)).toEqual({ ...limits });
  });
});
