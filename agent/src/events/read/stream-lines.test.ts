import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStreamLines } from './stream-lines.ts';

describe('lines of a stream', () => {
  it('are the same however the stream is cut, but for those that are too long, which are counted', () => {
    const text = fc.array(fc.string({ unit: 'grapheme', maxLength: 12 }).map((line) => line.replaceAll('\n', '')));
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (all, sizes) => {
        const bytes = Buffer.from(all.map((line) => `${line}\n`).join(''));
        const stream = createStreamLines(10);
        const lines: string[] = [];
        let tooLong = 0;
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          const cut = stream.push(bytes.subarray(at, at + size));
          lines.push(...cut.lines);
          tooLong += cut.tooLong;
          at += size;
        }
        const fitting = all.filter((line) => Buffer.byteLength(line) <= 10);
        expect(lines).toEqual(fitting);
        expect(tooLong).toBe(all.length - fitting.length);
      }),
    );
  });
});
