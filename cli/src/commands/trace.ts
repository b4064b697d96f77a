import { FleetServiceService } from '@openline/proto/operator';
import { createColors } from 'picocolors';
import { usageError } from '../failure.ts';
import type { Io, Screen } from '../io.ts';
import type { Format } from '../render/document.ts';
import { fit, formatCount, plural, printable } from '../render/text.ts';
import { formatAge, formatClock } from '../render/time.ts';
import { type FrameView, frameView, type SnapshotView, snapshotView, type TraceView } from '../views/trace.ts';
import { at } from '../views/values.ts';
import { stopOnInterrupt } from '../watch/interrupts.ts';
import { watchOn } from '../watch/streams.ts';
import { type GlobalFlags, withClient } from './context.ts';

/** Ends by Ctrl-C, or after `--count` frames. Goes on when the server is back: it keeps no frames, so what passed meanwhile is not shown. */
export function traceCommand(
  agent: string,
  flags: { output: Format; count?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  if (flags.output !== 'table' && flags.output !== 'jsonl')
    throw usageError(`a trace has no end, so -o ${flags.output} would never be written`, 'Use -o jsonl.');
  const most = flags.count === undefined ? Number.POSITIVE_INFINITY : Number(flags.count);
  if (most !== Number.POSITIVE_INFINITY && !(Number.isInteger(most) && most >= 1))
    throw usageError('--count is not a whole number above 0');
  return withClient(global, io, async (client) => {
    const stop = stopOnInterrupt(io);
    const renderer = createTraceRenderer();
    let frames = 0;
    try {
      const patience = { signal: stop.signal, notice: (text: string) => io.err.write(`${text}\n`) };
      const back = 'the server is back; frames that passed meanwhile are not shown';
      for await (const { kind } of watchOn(client, FleetServiceService.traceAgent, () => ({ agent }), patience, back)) {
        if (kind === undefined) continue; // a newer server's kind
        const view: TraceView =
          kind.$case === 'snapshot'
            ? snapshotView(kind.value)
            : kind.$case === 'frame'
              ? frameView(kind.value)
              : { type: 'skipped', frames: Number(kind.value) };
        if (flags.output === 'jsonl') io.out.write(`${JSON.stringify(view)}\n`);
        else
          io.out.write(
            renderer
              .lines(view, agent, io.out.screen(), io.nowMs())
              .map((line) => `${line}\n`)
              .join(''),
          );
        if (view.type === 'frame') frames += 1;
        if (frames >= most) break;
        await io.out.drained();
      }
      return stop.exitCode;
    } finally {
      stop.close();
    }
  });
}

/** Keeps the socket's counters, so that each frame shows what it added to the wire. Pure but for that. */
export function createTraceRenderer() {
  let up: number | undefined;
  let down: number | undefined;
  return {
    lines(view: TraceView, agent: string, screen: Screen, nowMs: number): string[] {
      switch (view.type) {
        case 'snapshot':
          up = view.socketBytesUp;
          down = view.socketBytesDown;
          return snapshotLines(view, agent, nowMs);
        case 'skipped':
          return [`… ${formatCount(view.frames)} frames passed that are not shown: this reader was too slow`];
        case 'frame': {
          const before = view.direction === 'up' ? up : down;
          const now = view.direction === 'up' ? view.socketBytesUp : view.socketBytesDown;
          if (view.direction === 'up') up = now;
          else down = now;
          return [frameLine(view, before === undefined ? undefined : now - before, screen)];
        }
        default:
          return view satisfies never;
      }
    },
  };
}

function snapshotLines(link: SnapshotView, agent: string, nowMs: number): string[] {
  if (!link.connected) return [`${agent} is not connected; frames follow as soon as it is`];
  const opened = link.openedAt === null ? '-' : `${link.openedAt} (${formatAge(at(link.openedAt), nowMs)})`;
  const way = (messages: number, bytes: number, wire: number) =>
    `${plural(messages, 'message')}, ${plural(bytes, 'byte')}; on the wire ${plural(wire, 'byte')}`;
  return [
    `link of ${agent}: ${printable(link.remoteAddress ?? '-')}, epoch ${link.sessionEpoch}`,
    `  opened  ${opened}`,
    `  TLS     ${printable(link.tlsProtocol ?? '-')} ${printable(link.tlsCipher ?? '')}`.trimEnd(),
    `  ↑ up    ${way(link.messagesUp, link.messageBytesUp, link.socketBytesUp)}`,
    `  ↓ down  ${way(link.messagesDown, link.messageBytesDown, link.socketBytesDown)}`,
    '',
    `${'TIME'.padEnd(12)}   ${'KIND'.padEnd(18)} ${'BYTES'.padStart(7)} ${'ON WIRE'.padStart(9)}   WHAT`,
  ];
}

function frameLine(frame: FrameView, wire: number | undefined, screen: Screen): string {
  const paint = createColors(screen.color);
  const up = frame.direction === 'up';
  const bytes = String(frame.bytes).padStart(7);
  const delta = (wire === undefined ? '' : `+${wire}`).padStart(9);
  const plain = `${formatClock(frame.atUnixUs)} ${up ? '↑' : '↓'} ${printable(frame.kind).padEnd(18)} ${bytes} ${delta}   ${printable(frame.detail)}`;
  const line = fit(plain, screen.columns);
  return up ? paint.cyan(line) : paint.yellow(line);
}
