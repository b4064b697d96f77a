import type { Env, Io, Out } from '../io.ts';

function memory(): Out & { text: string } {
  const out = {
    text: '',
    screen: () => ({ isTTY: false, columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY, color: false }),
    write(data: string | Uint8Array) {
      out.text += Buffer.from(data);
    },
    drained: async () => {},
    onResize: () => () => {},
  };
  return out;
}

/** Surroundings without a terminal, a network or a person. */
export function testIo(
  given: { cwd?: string; home?: string; env?: Env; stdin?: string } = {},
): Io & { out: { text: string }; err: { text: string } } {
  return {
    out: memory(),
    err: memory(),
    env: given.env ?? {},
    cwd: given.cwd ?? '/nonexistent',
    home: given.home ?? '/nonexistent',
    stdinIsTTY: false,
    async *stdin() {
      yield Buffer.from(given.stdin ?? '');
    },
    ask: async () => '',
    nowMs: () => Date.UTC(2026, 0, 2),
    onInterrupt: () => () => {},
    exitNow: () => {},
  };
}
