import type { TaskOutput } from '@openline/proto/agent';
import { MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';
import type { OutputSpool } from './spool.ts';

/**
 * Sends kept output while the server gives credit: one window over all dispatches, one chunk of each in turn, so that a loud task
 * does not starve the others. One chunk at a time is read from disk.
 */
export interface OutputSender {
  add(runId: string, spool: OutputSpool): void;
  /** There is more in the spool of this dispatch. */
  kept(runId: string): void;
  /** The spool will not grow any more. */
  complete(runId: string): void;
  committed(runId: string, committedBytes: number): void;
  /** Stops sending it and forgets it. */
  remove(runId: string): void;
  opened(windowBytes: number): void;
  /** The server dropped what is not committed, and takes it again, under this number. */
  resend(round: number, windowBytes: number): void;
  /** After `send` returned false. */
  writable(): void;
  closed(): void;
  /** Kept and not yet committed, bytes. */
  pendingBytes(): number;
}

export interface SenderDeps {
  readonly send: (chunk: TaskOutput) => boolean;
  /** Everything of a complete output was committed. */
  readonly onDrained: (runId: string) => void;
}

/** A place between two chunks: in the output, and in the spool file. */
interface Mark {
  readonly bytes: number;
  readonly position: number;
}

interface Source {
  readonly runId: string;
  readonly spool: OutputSpool;
  complete: boolean;
  drained: boolean;
  sent: Mark;
  /** The last mark up to which everything is committed: where a new session begins. */
  acked: Mark;
  /** As the server said; ahead of `sent` when an earlier process of this agent had sent more. */
  committedBytes: number;
  /** The marks behind the chunks that were sent and are not committed. */
  inFlight: Mark[];
}

/** A server that never acknowledges tiny chunks must not make the list of them grow without end. */
const MAX_IN_FLIGHT_CHUNKS = 256;
const START: Mark = { bytes: 0, position: 0 };

export function createOutputSender(deps: SenderDeps): OutputSender {
  const sources = new Map<string, Source>();
  /** Those that may have something to send, in turn. */
  const turn = new Set<Source>();
  let windowBytes = 0;
  let inFlightBytes = 0;
  let session = 0;
  let round = 0;
  let pumping = false;
  let congested = false;

  function wake(source: Source): void {
    if (windowBytes === 0 || source.sent.bytes >= source.spool.keptBytes()) return;
    turn.add(source);
    startPump();
  }

  function startPump(): void {
    if (!pumping && turn.size > 0) void pump();
  }

  async function pump(): Promise<void> {
    pumping = true;
    try {
      for (let source = next(); source !== undefined; source = next()) await sendOne(source);
    } finally {
      pumping = false;
    }
  }

  function next(): Source | undefined {
    if (windowBytes === 0 || congested) return undefined;
    // Credit for a full chunk, or nothing under way: a window smaller than a chunk still lets one through.
    if (inFlightBytes > 0 && inFlightBytes + MAX_OUTPUT_CHUNK_BYTES > windowBytes) return undefined;
    for (const source of turn) {
      if (source.inFlight.length < MAX_IN_FLIGHT_CHUNKS) return source;
    }
    return undefined;
  }

  async function sendOne(source: Source): Promise<void> {
    turn.delete(source);
    const inSession = session;
    const read = await source.spool.read(source.sent.position);
    // Meanwhile the session may have ended or another begun (it starts from `acked`), or the dispatch may be gone.
    if (read === undefined || inSession !== session || sources.get(source.runId) !== source) return;
    const bytes = read.chunk.data.length;
    const behind: Mark = { bytes: source.sent.bytes + bytes, position: read.next };
    if (behind.bytes <= source.committedBytes) {
      source.sent = behind;
      source.acked = behind;
    } else if (deps.send({ runId: source.runId, offset: BigInt(source.sent.bytes), ...read.chunk, round })) {
      source.sent = behind;
      source.inFlight.push(behind);
      inFlightBytes += bytes;
    } else {
      congested = true;
    }
    if (source.sent.bytes < source.spool.keptBytes()) turn.add(source);
    else if (source.complete) void source.spool.release();
  }

  function settle(source: Source): void {
    if (source.drained || !source.complete || source.committedBytes < source.spool.keptBytes()) return;
    source.drained = true;
    deps.onDrained(source.runId);
  }

  /** What is under way when a session ends is sent again, chunk for chunk, in the next. */
  function rewind(source: Source): void {
    source.sent = source.acked;
    source.inFlight = [];
  }

  /** From what is committed, whatever was sent before. */
  function begin(inRound: number, bytes: number): void {
    session += 1;
    round = inRound;
    windowBytes = bytes;
    inFlightBytes = 0;
    turn.clear();
    for (const source of sources.values()) {
      rewind(source);
      wake(source);
    }
  }

  return {
    add(runId, spool) {
      const fresh = { complete: false, drained: false, sent: START, acked: START, committedBytes: 0, inFlight: [] };
      sources.set(runId, { runId, spool, ...fresh });
    },
    kept(runId) {
      const source = sources.get(runId);
      if (source !== undefined) wake(source);
    },
    complete(runId) {
      const source = sources.get(runId);
      if (source === undefined) return;
      source.complete = true;
      if (windowBytes === 0 || source.sent.bytes >= source.spool.keptBytes()) void source.spool.release();
      settle(source);
    },
    committed(runId, committedBytes) {
      const source = sources.get(runId);
      if (source === undefined || committedBytes <= source.committedBytes) return;
      source.committedBytes = committedBytes;
      for (let first = source.inFlight[0]; first !== undefined && first.bytes <= committedBytes; ) {
        inFlightBytes -= first.bytes - source.acked.bytes;
        source.acked = first;
        source.inFlight.shift();
        first = source.inFlight[0];
      }
      settle(source);
      startPump();
    },
    remove(runId) {
      const source = sources.get(runId);
      if (source === undefined) return;
      inFlightBytes -= source.sent.bytes - source.acked.bytes;
      turn.delete(source);
      sources.delete(runId);
      startPump();
    },
    opened(bytes) {
      congested = false;
      begin(0, bytes);
    },
    resend(inRound, bytes) {
      if (windowBytes > 0) begin(inRound, bytes);
    },
    writable() {
      congested = false;
      startPump();
    },
    closed() {
      session += 1;
      windowBytes = 0;
      inFlightBytes = 0;
      turn.clear();
      for (const source of sources.values()) {
        rewind(source);
        if (source.complete) void source.spool.release();
      }
    },
    pendingBytes() {
      let bytes = 0;
      for (const { spool, committedBytes } of sources.values())
        bytes += Math.max(0, spool.keptBytes() - committedBytes);
      return bytes;
    },
  };
}
