import type { OutputChunk } from '../runs/run-store.ts';
import type { OutputWindow } from './output-window.ts';

/** An agent's session, as the flow of output sees it. */
export interface OutputSource {
  readonly agentId: string;
  readonly output: OutputWindow;
  /** An older agent cannot be asked again. */
  readonly resendsOutput: boolean;
}

export interface OutputFlow<Source extends OutputSource = OutputSource> {
  /** The window of one agent more. Bytes. */
  windowFor(agents: number): number;
  arrived(source: Source, chunk: OutputChunk, round: number): void;
  /** So many bytes are committed. */
  durable(bytes: number): void;
  /** The session has ended: the agent sends it again in the next. */
  forget(source: Source): void;
}

export interface OutputFlowDeps<Source> {
  store(chunk: OutputChunk): void;
  resend(source: Source, round: number, windowBytes: number): void;
  violated(source: Source, why: string): void;
  /** It is to come back later, since it cannot be asked again. */
  busy(source: Source): void;
  /** Agents with a ready session. */
  agents(): number;
  onRefused(): void;
}

const MIB = 1024 * 1024;
/** Output of all agents that is held here until the database has it. */
const BUDGET_BYTES = 128 * MIB;
const WINDOW_MIN_BYTES = 32 * 1024;
const WINDOW_MAX_BYTES = 512 * 1024;

/**
 * Keeps the output that this process holds within its budget, however many agents send. Windows alone cannot: none can be smaller than a
 * chunk, and ten thousand of those are more than the budget. When it is used up, what comes is dropped, and its agent is asked to send it
 * again, in turn, when the database has caught up. Heartbeats and results go on meanwhile: they share the stream, so it is read on.
 */
export function createOutputFlow<Source extends OutputSource>(
  deps: OutputFlowDeps<Source>,
  budgetBytes = BUDGET_BYTES,
): OutputFlow<Source> {
  let heldBytes = 0;
  /** In the order in which they were refused. */
  const refused = new Set<Source>();

  function windowFor(agents: number): number {
    return Math.round(Math.min(WINDOW_MAX_BYTES, Math.max(WINDOW_MIN_BYTES, budgetBytes / Math.max(1, agents))));
  }

  function resume(): void {
    const windowBytes = windowFor(deps.agents());
    // Half of the room: the rest is for those that were not refused.
    let room = (budgetBytes - heldBytes) / 2;
    for (const source of refused) {
      if (room < windowBytes && heldBytes > 0) return;
      room -= windowBytes;
      refused.delete(source);
      deps.resend(source, source.output.resume(windowBytes), windowBytes);
      if (room <= 0) return;
    }
  }

  return {
    windowFor,
    arrived(source, chunk, round) {
      const { runId, offset, data } = chunk;
      const verdict = source.output.arrived({ runId, offset, bytes: data.byteLength, round });
      switch (verdict) {
        case 'beyond':
          deps.violated(source, 'it sent more output than the window that it was granted');
          return;
        case 'drop':
          return;
        case 'take':
          break;
        default:
          verdict satisfies never;
      }
      if (heldBytes + data.byteLength <= budgetBytes) {
        heldBytes += data.byteLength;
        deps.store(chunk);
        return;
      }
      deps.onRefused();
      if (!source.resendsOutput) {
        deps.busy(source);
        return;
      }
      source.output.refuse();
      refused.add(source);
    },
    durable(bytes) {
      heldBytes -= bytes;
      if (refused.size > 0) resume();
    },
    forget: (source) => void refused.delete(source),
  };
}
