import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRORS, isErrorCode, OpenlineError } from './errors.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section] satisfies [string, string]),
);

describe('docs/errors.md (`npm run generate` writes it)', () => {
  it('has every code of the registry, and no other', () => {
    expect([...sections.keys()]).toEqual(Object.keys(ERRORS));
  });

  it.each(Object.entries(ERRORS))('says of %s what the registry says', (code, { means, doNext }) => {
    expect(sections.get(code)).toContain(means);
    expect(sections.get(code)).toContain(`What to do: ${doNext}`);
  });
});

describe('the registry', () => {
  it('has codes in capitals, and a sentence for what each means and what to do', () => {
    for (const [code, { means, doNext }] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(means, code).toMatch(/^[A-Z].*\.$/s);
      expect(doNext, code).toMatch(/\.$/);
    }
  });

  it('knows a code from any other word, also from those that every object has', () => {
    expect(isErrorCode('RUN_UNKNOWN')).toBe(true);
    expect(isErrorCode('constructor')).toBe(false);
  });

  it('keeps the cause of an error', () => {
    const cause = new Error('why');
    expect(new OpenlineError('INTERNAL', 'what', { cause })).toMatchObject({
      code: 'INTERNAL',
      message: 'what',
      cause,
    });
  });
});
