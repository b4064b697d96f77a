import { stripVTControlCharacters } from 'node:util';
import type { Out } from '../io.ts';
import { widthOf } from '../render/text.ts';

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** Lines at the bottom of a terminal that are redrawn in place. */
export interface LiveView {
  draw(lines: readonly string[]): void;
  /** Writes above the live lines, which move down. */
  print(text: string): void;
  /** Takes the live lines away and gives the cursor back. Safe to call twice. */
  close(): void;
}

export function createLiveView(out: Out): LiveView {
  let drawn: readonly string[] = [];
  let open = false;

  /** The terminal may have become narrower since: then our lines have wrapped, and take more rows than we wrote. */
  const rowsTaken = () => {
    const { columns } = out.screen();
    return drawn.reduce(
      (rows, line) => rows + Math.max(1, Math.ceil(widthOf(stripVTControlCharacters(line)) / columns)),
      0,
    );
  };
  const home = () => (drawn.length === 0 ? '' : `\x1b[${rowsTaken()}A\r`);
  const body = (lines: readonly string[]) => lines.map((line) => `${line}\x1b[K\n`).join('');

  return {
    draw(lines) {
      if (lines.length === drawn.length && lines.every((line, index) => line === drawn[index])) return;
      // One write, so that the terminal never shows half of it.
      out.write(`${open ? '' : HIDE_CURSOR}${home()}${body(lines)}\x1b[J`);
      open = true;
      drawn = [...lines];
    },
    print(text) {
      const lines = drawn;
      out.write(`${home()}\x1b[J${text}${body(lines)}`);
    },
    close() {
      if (!open) return;
      out.write(`${home()}\x1b[J${SHOW_CURSOR}`);
      open = false;
      drawn = [];
    },
  };
}
