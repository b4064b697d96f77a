import type { Io } from '../io.ts';

export const FORMATS = ['table', 'json', 'yaml', 'jsonl'] as const;
export type Format = (typeof FORMATS)[number];

/** A value as JSON (two spaces) or YAML, to stdout. jsonl: one line. */
export async function printDocument(io: Io, format: Exclude<Format, 'table'>, value: unknown): Promise<void> {
  if (format === 'yaml') {
    const { stringify } = await import('../yaml.ts');
    io.out.write(stringify(value, { lineWidth: 0 }));
  } else {
    io.out.write(`${format === 'json' ? JSON.stringify(value, null, 2) : JSON.stringify(value)}\n`);
  }
}

/** json and yaml: one list. jsonl: a line for each. */
export async function printItems(io: Io, format: Exclude<Format, 'table'>, items: readonly unknown[]): Promise<void> {
  if (format === 'jsonl') io.out.write(items.map((item) => `${JSON.stringify(item)}\n`).join(''));
  else await printDocument(io, format, items);
}

export function printLines(io: Io, lines: readonly string[]): void {
  io.out.write(lines.map((line) => `${line}\n`).join(''));
}
