import { styleText } from 'node:util';

/** What people read: 80 columns, and no colours without a terminal. */
const COLUMNS = 80;

type Style = Parameters<typeof styleText>[0];

function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

let silent = false;

export function print(text = ''): void {
  if (!silent) process.stdout.write(`${text}\n`);
}

/** The last words: a step that is cut short has nothing to say any more. */
export function printLast(text: string): void {
  print(text);
  silent = true;
}

/** A heading, what happens and why it matters. */
export function title(text: string, why: string): void {
  print();
  print(paint('bold', `── ${text} ${'─'.repeat(Math.max(0, COLUMNS - text.length - 4))}`));
  for (const line of wrap(why)) print(line);
}

/** As one would type it; a long one is continued as in a shell. */
export function command(...commands: readonly string[]): void {
  print();
  for (const text of commands) {
    const lines = fill(words(text), COLUMNS - 4);
    print(lines.map((line, index) => `${index === 0 ? paint('cyan', '$') : ' '} ${line}`).join(' \\\n'));
  }
}

/** Where a command may be continued on the next line: before an option or a pipe, and never within quotes. */
function words(text: string): string[] {
  let quoted = false;
  const found = [''];
  for (const [index, character] of text.split('').entries()) {
    if (character === "'" && (quoted || text[index - 1] !== '\\')) quoted = !quoted;
    if (character === ' ' && !quoted && /^ (-[a-z-]|\|)/.test(text.slice(index))) found.push('');
    else found[found.length - 1] += character;
  }
  return found;
}

/** What the demo itself does or has found out, between the commands. */
export function note(text: string): void {
  print(
    wrap(text, COLUMNS - 2)
      .map((line, index) => `${index === 0 ? paint('dim', '·') : ' '} ${line}`)
      .join('\n'),
  );
}

export function outcome(failure: string | undefined, ms: number): void {
  const time = `(${seconds(ms)})`;
  if (failure === undefined) print(`${paint('green', 'ok')} ${time}`);
  else print(`${paint('red', 'failed')} ${time} ${failure}`);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export interface Line {
  readonly name: string;
  readonly failure: string | undefined;
  readonly ms: number;
}

/** One line per step. */
export function summary(lines: readonly Line[]): void {
  print();
  print(paint('bold', `── Summary ${'─'.repeat(COLUMNS - 11)}`));
  const width = Math.max(...lines.map(({ name }) => name.length));
  for (const { name, failure, ms } of lines) {
    const word = failure === undefined ? paint('green', 'ok    ') : paint('red', 'failed');
    print(
      `${word}  ${name.padEnd(width)}  ${seconds(ms).padStart(7)}${failure === undefined ? '' : `  ${failure.split('\n')[0]}`}`,
    );
  }
}

/** As openline itself does on a terminal. */
export function cut(line: string): string {
  return line.length <= COLUMNS ? line : `${line.slice(0, COLUMNS - 1)}…`;
}

export function wrap(text: string, columns = COLUMNS): string[] {
  return fill(text.split(' '), columns);
}

/** Words that do not fit go to the next line; one that is longer than a line stays whole. */
function fill(parts: readonly string[], columns: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + part.length <= columns) lines[lines.length - 1] = `${last} ${part}`;
    else lines.push(part);
  }
  return lines;
}
