import stringWidth from 'string-width';

// C0, DEL, C1 and the bidirectional controls: what could move the cursor, change colours or reorder what a person reads.
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is what this is for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text from elsewhere (an agent's note, a label) as something that cannot steer the terminal; one line. */
export function printable(text: string): string {
  return text.replace(CONTROL, (character) => (character === '\t' || character === '\n' ? ' ' : '�'));
}

/** Terminal columns: wide characters take two, combining ones none. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** @returns the text when it fits into so many columns, else its beginning and an ellipsis */
export function fit(text: string, columns: number): string {
  if (text.length <= columns / 2 || widthOf(text) <= columns) return text;
  if (columns <= 0) return '';
  let taken = '';
  let width = 0;
  for (const { segment } of segments.segment(text)) {
    const next = widthOf(segment);
    if (width + next > columns - 1) break;
    taken += segment;
    width += next;
  }
  return `${taken}…`;
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - widthOf(text)));
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** 12,345 */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 1.5 KiB; below 1024 plain bytes. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** "path=/data, size=7" */
export function assignments(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}
