import { describe, expect, it } from 'vitest';
import type { Out } from '../io.ts';
import { createLiveView } from './live-view.ts';

function terminal(columns = 20): Out & { written: string[]; columns: number } {
  const out = {
    written: [] as string[],
    columns,
    screen: () => ({ isTTY: true, columns: out.columns, rows: 10, color: false }),
    write: (data: string | Uint8Array) => void out.written.push(String(data)),
    drained: async () => {},
    onResize: () => () => {},
  };
  return out;
}

describe('lines redrawn in place', () => {
  it('go up as many rows as were drawn, and write nothing when nothing changed', () => {
    const out = terminal();
    const view = createLiveView(out);
    view.draw(['one', 'two']);
    view.draw(['one', 'two']);
    expect(out.written).toHaveLength(1);
    view.draw(['one']);
    expect(out.written[1]).toBe('\x1b[2A\rone\x1b[K\n\x1b[J');
  });

  it('count the rows that lines take after the terminal became narrower', () => {
    const out = terminal(20);
    const view = createLiveView(out);
    view.draw(['a'.repeat(18), 'b']);
    out.columns = 10;
    view.draw(['x']);
    expect(out.written[1]).toContain('\x1b[3A');
  });

  it('let text pass above them, and give the cursor back once', () => {
    const out = terminal();
    const view = createLiveView(out);
    view.draw(['live']);
    view.print('note\n');
    expect(out.written[1]).toBe('\x1b[1A\r\x1b[Jnote\nlive\x1b[K\n');
    view.close();
    view.close();
    expect(out.written.slice(2)).toEqual(['\x1b[1A\r\x1b[J\x1b[?25h']);
  });
});
