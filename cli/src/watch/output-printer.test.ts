import { OutputKind, ReadOutputResponse } from '@openline/proto/operator';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPrefixPrinter, createRawPrinter } from './output-printer.ts';

const { OUTPUT_KIND_STDERR, OUTPUT_KIND_STDOUT } = OutputKind;

function part(
  agent: string,
  data: Uint8Array,
  kind: OutputKind = OUTPUT_KIND_STDOUT,
  droppedBytes = 0n,
): ReadOutputResponse {
  return {
    ...ReadOutputResponse.create(),
    agentId: agent,
    agentName: agent,
    data: Buffer.from(data),
    kind,
    droppedBytes,
  };
}

function sinks() {
  const written = { out: '', err: '' };
  return {
    written,
    out(data: string | Uint8Array) {
      written.out += Buffer.from(data);
    },
    err(data: string | Uint8Array) {
      written.err += Buffer.from(data);
    },
  };
}

describe('the output of several targets', () => {
  it('comes out as the same lines, however its bytes were cut', () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 7 }), (lines, size) => {
        const to = sinks();
        const printer = createPrefixPrinter(to, ['a', 'longer'], (text) => text);
        const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
        for (let at = 0; at < bytes.length; at += size) printer.part(part('a', bytes.subarray(at, at + size)));
        printer.end();
        expect(to.written.out).toBe(lines.map((each) => `a      | ${each.toWellFormed()}\n`).join(''));
      }),
      { numRuns: 50 },
    );
  });

  it('keeps stderr apart, ends an unfinished line, and marks where it was cut', () => {
    const to = sinks();
    const printer = createPrefixPrinter(to, ['a'], (text) => text);
    printer.part(part('a', Buffer.from('out')));
    printer.part(part('a', Buffer.from('err\n'), OUTPUT_KIND_STDERR, 2048n));
    printer.end();
    expect(to.written.out).toBe('a | out\n');
    expect(to.written.err).toBe(
      'a | err\na | [openline: the output of a was cut here: 2,048 bytes (2.0 KiB) more were not kept]\n',
    );
  });
});

describe('the output of one target', () => {
  it('is its bytes, untouched', () => {
    const bytes = Buffer.from([0, 255, 10, 13, 27, 128]);
    const to: Buffer[] = [];
    createRawPrinter({ out: (data) => void to.push(Buffer.from(data)), err: () => {} }).part(part('a', bytes));
    expect(Buffer.concat(to)).toEqual(bytes);
  });
});
