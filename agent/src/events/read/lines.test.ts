import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutLines, detectEncoding, type Encoding } from './lines.ts';

const WHOLE = { encoding: 'utf-8', skipping: false, full: false, final: false } as const;
const ENCODINGS: readonly Encoding[] = ['utf-8', 'utf-16le', 'utf-16be', 'latin1'];

function encode(text: string, encoding: Encoding): Buffer {
  if (encoding === 'utf-8') return Buffer.from(text, 'utf8');
  if (encoding === 'latin1') return Buffer.from(text, 'latin1');
  const bytes = Buffer.from(text, 'utf16le');
  return encoding === 'utf-16be' ? bytes.swap16() : bytes;
}

/** Reads a whole file as a source does: at most `room` bytes at a time, which grow to `upTo` one after the other. */
function readAll(file: Buffer, encoding: Encoding, room: number, growth: readonly number[], maxLines = 1000) {
  const lines: string[] = [];
  let truncated = 0;
  let offset = 0;
  let skipping = false;
  const sizes = [...growth.map((part) => Math.floor(part * file.length)).sort((a, b) => a - b), file.length];
  for (const [turn, size] of sizes.entries()) {
    for (let final = false; ; ) {
      const bytes = file.subarray(offset, Math.min(size, offset + room));
      const cut = cutLines(bytes, { encoding, skipping, full: bytes.length === room, final, maxLines });
      expect(cut.lines.length).toBeLessThanOrEqual(maxLines);
      lines.push(...cut.lines);
      truncated += cut.truncated ? 1 : 0;
      offset += cut.consumed;
      skipping = cut.skipping;
      if (cut.consumed > 0) continue;
      if (turn < sizes.length - 1 || final) break;
      final = true;
    }
  }
  return { lines, truncated, offset };
}

/** For the wide ones also characters one of whose bytes is that of a newline. */
const unitOf = (encoding: Encoding) =>
  encoding === 'latin1'
    ? fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code))
    : fc.oneof(fc.constantFrom('\u0a0a', '\u0a00', '\u000b', '\u0100'), fc.string({ unit: 'grapheme', maxLength: 1 }));

const lineOf = (encoding: Encoding) =>
  fc
    .string({
      unit: unitOf(encoding),
    })
    .map((text) => text.replace(/[\n\r\0]/g, ''))
    .filter((text) => text.length <= 20);

describe('lines', () => {
  it('come out as they were written, in every encoding, however the file grows and however little is read at once', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...ENCODINGS).chain((encoding) =>
          fc.record({
            encoding: fc.constant(encoding),
            lines: fc.array(lineOf(encoding), { maxLength: 30 }),
            end: fc.constantFrom('\n', '\r\n'),
            ended: fc.boolean(),
            room: fc.integer({ min: 130, max: 400 }).map((n) => 2 * n),
            growth: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 }),
            maxLines: fc.integer({ min: 1, max: 5 }),
          }),
        ),
        ({ encoding, lines, end, ended, room, growth, maxLines }) => {
          const file = encode(lines.join(end) + (ended ? end : ''), encoding);
          const read = readAll(file, encoding, room, growth, maxLines);
          expect(read.lines).toEqual(lines.filter((line) => line !== ''));
          expect(read).toMatchObject({ truncated: 0, offset: file.length });
        },
      ),
    );
  });

  it('never fail on any bytes, and are always read to the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.constantFrom(...ENCODINGS), (bytes, encoding) => {
        const even = bytes.length - (bytes.length % 2);
        const read = readAll(Buffer.from(bytes.subarray(0, even)), encoding, 64, []);
        for (const line of read.lines) expect(line.isWellFormed()).toBe(true);
        expect(read.offset).toBe(even);
      }),
    );
  });

  it('have U+FFFD for what is no character', () => {
    const bytes = Buffer.from([0x61, 0xff, 0x62, 0x0a, 0xe2, 0x82, 0x0a]);
    expect(cutLines(bytes, WHOLE)).toMatchObject({ lines: ['a\ufffdb', '\ufffd'], consumed: 7 });
    const lone = Buffer.from([0x00, 0xd8, 0x0a, 0x00]);
    expect(cutLines(lone, { ...WHOLE, encoding: 'utf-16le' })).toMatchObject({ lines: ['\ufffd'], consumed: 4 });
  });

  it('do not end at half of a wide character that looks like an end', () => {
    const bytes = encode('\u0a0a\u0a00\u000a', 'utf-16le');
    expect(cutLines(bytes, { ...WHOLE, encoding: 'utf-16le' }).lines).toEqual(['\u0a0a\u0a00']);
  });

  it('leave out the zeros that a program writes over the hole of a truncated file', () => {
    expect(cutLines(Buffer.from('\0\0\0first\nsecond\n'), WHOLE).lines).toEqual(['first', 'second']);
  });

  it.each(ENCODINGS)('follow a hole of any size, in %s', (encoding) => {
    const file = Buffer.concat([encode('old\n', encoding), Buffer.alloc(2_346), encode('first\nsecond\n', encoding)]);
    expect(readAll(file, encoding, 100, [])).toEqual({
      lines: ['old', 'first', 'second'],
      truncated: 0,
      offset: file.length,
    });
  });
});

describe('a line without its end', () => {
  it('stays where it is', () => {
    expect(cutLines(Buffer.from('a\nb'), WHOLE)).toEqual({
      lines: ['a'],
      consumed: 2,
      skipping: false,
      truncated: false,
    });
  });

  it('is a line when nothing will follow', () => {
    expect(cutLines(Buffer.from('b'), { ...WHOLE, final: true })).toMatchObject({ lines: ['b'], consumed: 1 });
  });
});

describe('a line that is too long', () => {
  it('is cut and marked, and the rest of it left out', () => {
    const file = Buffer.from(`${'x'.repeat(250)}\nnext\n`);
    expect(readAll(file, 'utf-8', 100, [])).toEqual({
      lines: ['x'.repeat(100), 'next'],
      truncated: 1,
      offset: file.length,
    });
  });

  it('is not cut within a character', () => {
    const cut = cutLines(Buffer.from('aé').subarray(0, 2), { ...WHOLE, full: true });
    expect(cut).toEqual({ lines: ['a'], consumed: 2, skipping: true, truncated: true });
  });

  it('that the file ends with is over when nothing will follow', () => {
    const cut = cutLines(Buffer.from('rest'), { ...WHOLE, skipping: true, final: true });
    expect(cut).toEqual({ lines: [], consumed: 4, skipping: false, truncated: false });
  });
});

describe('a byte order mark', () => {
  it.each([
    [[0xef, 0xbb, 0xbf], 'utf-8', 3],
    [[0xff, 0xfe, 0x61], 'utf-16le', 2],
    [[0xfe, 0xff, 0x00], 'utf-16be', 2],
  ])('%j says %s', (head, encoding, markBytes) => {
    expect(detectEncoding(Buffer.from(head), 'utf-8')).toEqual({ encoding, markBytes });
  });

  it('that is half there is waited for', () => {
    expect(detectEncoding(Buffer.from([0xef, 0xbb]), 'utf-8')).toBeUndefined();
    expect(detectEncoding(Buffer.from([0xff]), 'utf-8')).toBeUndefined();
    expect(detectEncoding(Buffer.from([0x61]), 'utf-8')).toEqual({ encoding: 'utf-8', markBytes: 0 });
  });

  it('is letters in latin1', () => {
    expect(detectEncoding(Buffer.from([0xff, 0xfe]), 'latin1')).toEqual({ encoding: 'latin1', markBytes: 0 });
  });
});
