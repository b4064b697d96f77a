import { StringDecoder } from 'node:string_decoder';
import { OutputKind, type ReadOutputResponse } from '@openline/proto/operator';
import { formatBytes, formatCount, padEnd, printable } from '../render/text.ts';

export interface OutputSinks {
  out(data: string | Uint8Array): void;
  err(data: string | Uint8Array): void;
}

/** Writes the parts of tasks' outputs as they come. */
export interface OutputPrinter {
  part(part: ReadOutputResponse): void;
  /** Writes what stands on unfinished lines. */
  end(): void;
}

/** One target: its bytes as they are, stdout to stdout and stderr to stderr. */
export function createRawPrinter(sinks: OutputSinks): OutputPrinter {
  return {
    part(part) {
      if (part.data.length > 0) (part.kind === OutputKind.OUTPUT_KIND_STDERR ? sinks.err : sinks.out)(part.data);
      if (part.droppedBytes > 0n) sinks.err(`\n${cutMark(part)}\n`);
    },
    end() {},
  };
}

/** A line longer than this is written in pieces: the other targets' lines must not wait for its end. Characters. */
const LONGEST_LINE = 64 * 1024;

/** Several targets: whole lines, each behind the name of its agent. */
export function createPrefixPrinter(
  sinks: OutputSinks,
  names: Iterable<string>,
  paint: (text: string) => string,
): OutputPrinter {
  let width = 0;
  for (const name of names) width = Math.max(width, Math.min(printable(name).length, 40));
  const open = new Map<
    string,
    { prefix: string; text: string; decoder: StringDecoder; write: (data: string) => void }
  >();

  const prefixOf = (name: string) => paint(`${padEnd(printable(name), width)} | `);
  return {
    part(part) {
      const isError = part.kind === OutputKind.OUTPUT_KIND_STDERR;
      const key = `${isError ? 'e' : 'o'}${part.agentId}`;
      let line = open.get(key);
      if (line === undefined) {
        line = {
          prefix: prefixOf(part.agentName),
          text: '',
          decoder: new StringDecoder('utf8'),
          write: isError ? sinks.err : sinks.out,
        };
        open.set(key, line);
      }
      const { prefix, write } = line;
      const lines = (line.text + line.decoder.write(Buffer.from(part.data))).split('\n');
      line.text = lines.pop() ?? '';
      if (lines.length > 0) write(lines.map((each) => `${prefix}${each}\n`).join(''));
      if (line.text.length > LONGEST_LINE) {
        write(`${prefix}${line.text}\n`);
        line.text = '';
      }
      if (part.droppedBytes > 0n) sinks.err(`${prefixOf(part.agentName)}${cutMark(part)}\n`);
    },
    end() {
      for (const { prefix, text, decoder, write } of open.values()) {
        const rest = text + decoder.end();
        if (rest !== '') write(`${prefix}${rest}\n`);
      }
      open.clear();
    },
  };
}

export function cutMark(part: ReadOutputResponse): string {
  const bytes = Number(part.droppedBytes);
  return `[openline: the output of ${printable(part.agentName)} was cut here: ${formatCount(bytes)} bytes (${formatBytes(bytes)}) more were not kept]`;
}
