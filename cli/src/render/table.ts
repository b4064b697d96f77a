import Table from 'cli-table3';
import { fit, printable, widthOf } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Colour, put on after the text was cut. */
  readonly paint?: (text: string, row: Row) => string;
  /** May be cut when the terminal is narrow; the others never are. Where several may, the widest gives way first. */
  readonly shrinks?: boolean;
}

const GAP = 3;
const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' '.repeat(GAP),
};

/** kubectl's kind of table: upper-case titles, three spaces between, nothing around. One line per row, none wider than the terminal. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  screenColumns: number,
): string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.cell(row)) || '-'));
  const widths = columns.map((column, index) => {
    let widest = widthOf(column.title);
    for (const row of cells) widest = Math.max(widest, widthOf(row[index] ?? ''));
    return widest;
  });
  // Where even the narrowest columns do not fit, lines are cut, and have no colours that the cut could break.
  const cut = !shrink(widths, columns, screenColumns);
  const table = new Table({
    chars: NO_BORDERS,
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(columns.map((column, index) => fit(column.title, widths[index] ?? 0)));
  for (const [at, row] of rows.entries()) {
    table.push(
      columns.map((column, index) => {
        const text = fit(cells[at]?.[index] ?? '', widths[index] ?? 0);
        return column.paint === undefined || cut ? text : column.paint(text, row);
      }),
    );
  }
  return table
    .toString()
    .split('\n')
    .map((line) => (cut ? fit(line.trimEnd(), screenColumns) : line.trimEnd()));
}

const NARROWEST = 8;
/** Of a column that may be cut, in a table that is wider than the terminal whatever is done: what comes first is to be read, then. */
const READABLE = 20;

/** @returns whether the table fits now */
function shrink<Row>(widths: number[], columns: readonly Column<Row>[], screenColumns: number): boolean {
  const natural = [...widths];
  let over = widths.reduce((sum, width) => sum + width, 0) + GAP * (columns.length - 1) - screenColumns;
  while (over > 0) {
    let widest = -1;
    for (const [index, width] of widths.entries()) {
      if (columns[index]?.shrinks === true && width > NARROWEST && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) {
      for (const [index, width] of natural.entries())
        widths[index] = columns[index]?.shrinks === true ? Math.min(width, READABLE) : width;
      return false;
    }
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
  return true;
}
