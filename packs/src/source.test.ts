import { describe, expect, it } from 'vitest';
import { plain, readDocuments } from './source.ts';

function read(text: string) {
  const { report, documents } = readDocuments(Buffer.from(text), 'a file of things', 10_000);
  return { issues: report.issues(), texts: documents.map((d) => d.text), values: documents.map((d) => plain(d.root)) };
}

describe('a file of several documents', () => {
  it('gives each with its own text, comments included, and without the marks between', () => {
    const { values, texts, issues } = read('# first\na: 1\n---\n# second\nb: {c: 2} # why\n...\n--- \nd: 3\n');
    expect(issues).toEqual([]);
    expect(values).toEqual([{ a: 1 }, { b: { c: 2 } }, { d: 3 }]);
    expect(texts).toEqual(['# first\na: 1\n', '# second\nb: {c: 2} # why\n', 'd: 3\n']);
  });

  it('reads each text alone as it was read in the file', () => {
    const { values, texts } = read('x: &a [1]\ny: *a\n---\nz: |\n  ---\n  text\n---\nlast: no end');
    expect(texts.map((text) => read(text).values)).toEqual(values.map((value) => [value]));
  });

  it('has no document where nothing stands', () => {
    expect(read('---\n---\n# only words\n---\na: 1\n---\n').values).toEqual([{ a: 1 }]);
    expect(read('').values).toEqual([]);
  });

  it('keeps anchors to their own document, and counts values over all of them', () => {
    expect(read('a: &x 1\n---\nb: *x\n').issues).toMatchObject([{ line: 3 }]);
  });

  it('names what it reads in its refusals, with the place in the file', () => {
    expect(read('a: 1\n---\nb: [\n').issues).toMatchObject([
      { line: 4, column: 1, message: expect.stringMatching(/^this is not YAML as a file of things may use it/) },
    ]);
    expect(read(`a: "${'x'.repeat(10_000)}"`).issues[0]?.message).toMatch(/a file of things is at most 10000$/);
  });
});
