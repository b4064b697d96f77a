import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createProgressFilter, type ProgressLine } from './progress-lines.ts';

function filter(parts: readonly (string | Buffer)[]): { output: string; progress: ProgressLine[] } {
  const progress: ProgressLine[] = [];
  const f = createProgressFilter((line) => progress.push(line));
  const output = [...parts.flatMap((part) => f.push(Buffer.from(part))), ...f.flush()];
  return { output: Buffer.concat(output).toString('latin1'), progress };
}

describe('progress lines on stdout', () => {
  it('are taken out of the output', () => {
    expect(filter(['one\n::progress 40% copying\ntwo\n'])).toEqual({
      output: 'one\ntwo\n',
      progress: [{ percent: 40, note: 'copying' }],
    });
  });

  it('may have only a percentage, or only a note', () => {
    expect(filter(['::progress 7%\n::progress almost there\r\n']).progress).toEqual([
      { percent: 7, note: '' },
      { percent: undefined, note: 'almost there' },
    ]);
  });

  it('stay output when they only look alike', () => {
    const lines = '::progressive\n::progress\n::progress 140% x\n ::progress 1% x\nx::progress 2% y\n';
    expect(filter([lines])).toEqual({ output: lines, progress: [] });
  });

  it('stay output when the line is very long', () => {
    const line = `::progress 1% ${'x'.repeat(5_000)}\n`;
    expect(filter([line.slice(0, 3_000), line.slice(3_000)])).toEqual({ output: line, progress: [] });
  });

  it('count without a newline at the end of the output', () => {
    expect(filter(['a\n::progress 100% done'])).toEqual({ output: 'a\n', progress: [{ percent: 100, note: 'done' }] });
  });

  it('never carry control characters to a terminal', () => {
    expect(filter(['::progress 1% \u001b[31mred\n']).progress).toEqual([{ percent: 1, note: '[31mred' }]);
  });

  it('are found the same wherever the reads are cut, and every other byte passes', () => {
    const piece = fc.constantFrom(
      'a',
      '\n',
      '::',
      '::progress',
      '::progress 5% n\n',
      '\n::progress 6%\n',
      '\r\n',
      'ÿ\n',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.array(fc.nat(200), { maxLength: 8 }), (pieces, cuts) => {
        const text = pieces.join('');
        const at = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
        const parts = at.slice(1).map((end, i) => text.slice(at[i], end));
        const whole = filter([text]);
        const expected = text.split('\n').filter((line) => !/^::progress [56]%( n)?$/.test(line));
        expect(filter(parts)).toEqual(whole);
        expect(whole.output.replaceAll('\n', '')).toBe(Buffer.from(expected.join('')).toString('latin1'));
      }),
      { numRuns: 2_000 },
    );
  });
});
