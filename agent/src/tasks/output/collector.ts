import { OutputStream } from '@openline/proto/agent';
import { MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';
import type { Clock, Timer } from '../clock.ts';
import { createProgressFilter, type ProgressLine } from './progress-lines.ts';
import type { Chunk, OutputSpool } from './spool.ts';

/** What a process writes, on its way to the spool: progress lines taken out, cut into chunks, cut off at the cap. */
export interface OutputCollector {
  /** @returns a promise when the caller must not read on before it resolves: memory stays bounded by what one read brings. */
  write(stream: OutputStream, bytes: Buffer): Promise<void> | undefined;
  /** Everything that was written is in the spool, or counted as dropped. */
  end(): Promise<void>;
}

export interface CollectorDeps {
  readonly clock: Clock;
  readonly spool: OutputSpool;
  /** Something new can be sent. */
  readonly onKept: () => void;
  readonly onProgress: (line: ProgressLine) => void;
}

export interface CollectorConfig {
  /** Output kept; the rest is counted. Bytes. */
  readonly limitBytes: number;
  /** Small writes are gathered this long, so that 10,000 lines a second are some twenty chunks. Default 50 ms. */
  readonly gatherMs?: number;
}

interface Gathered {
  readonly stream: OutputStream;
  parts: Buffer[];
  bytes: number;
  sinceMs: number;
}

export function createOutputCollector(deps: CollectorDeps, config: CollectorConfig): OutputCollector {
  const { clock, spool } = deps;
  const gatherMs = config.gatherMs ?? 50;
  const filter = createProgressFilter(deps.onProgress);
  const stdout: Gathered = { stream: OutputStream.OUTPUT_STREAM_STDOUT, parts: [], bytes: 0, sinceMs: 0 };
  const stderr: Gathered = { stream: OutputStream.OUTPUT_STREAM_STDERR, parts: [], bytes: 0, sinceMs: 0 };
  let takenBytes = 0;
  let lastCutMs = Number.NEGATIVE_INFINITY;
  let timer: Timer | undefined;
  let writing: Promise<void> | undefined;
  let queue: Chunk[] = [];

  function take(gathered: Gathered, bytes: Buffer): void {
    const kept = bytes.subarray(0, Math.max(0, config.limitBytes - takenBytes));
    if (kept.length < bytes.length) spool.drop(bytes.length - kept.length);
    if (kept.length === 0) return;
    takenBytes += kept.length;
    if (gathered.bytes === 0) gathered.sinceMs = clock.nowMs();
    gathered.parts.push(kept);
    gathered.bytes += kept.length;
  }

  /** @param all also a last chunk that is not full */
  function cut(gathered: Gathered, all: boolean): void {
    if (gathered.bytes === 0 || (!all && gathered.bytes < MAX_OUTPUT_CHUNK_BYTES)) return;
    const first = gathered.parts[0];
    const bytes = gathered.parts.length === 1 && first !== undefined ? first : Buffer.concat(gathered.parts);
    let at = 0;
    for (; bytes.length - at >= MAX_OUTPUT_CHUNK_BYTES; at += MAX_OUTPUT_CHUNK_BYTES) {
      queue.push({ stream: gathered.stream, data: bytes.subarray(at, at + MAX_OUTPUT_CHUNK_BYTES) });
    }
    const rest = bytes.subarray(at);
    if (all && rest.length > 0) queue.push({ stream: gathered.stream, data: rest });
    gathered.parts = all || rest.length === 0 ? [] : [rest];
    gathered.bytes = all ? 0 : rest.length;
    lastCutMs = clock.nowMs();
  }

  function cutAll(): void {
    timer?.cancel();
    timer = undefined;
    // What came first is cut first.
    const order = stderr.bytes > 0 && stderr.sinceMs < stdout.sinceMs ? [stderr, stdout] : [stdout, stderr];
    for (const gathered of order) cut(gathered, true);
    save();
  }

  function save(): void {
    if (queue.length === 0 || writing !== undefined) return;
    const chunks = queue;
    queue = [];
    writing = spool.append(chunks).then(() => {
      writing = undefined;
      deps.onKept();
      save();
    });
  }

  /** The first bytes after a silence go at once; what follows closely is gathered. */
  function scheduleCut(): void {
    if (timer !== undefined || stdout.bytes + stderr.bytes === 0) return;
    const waitMs = lastCutMs + gatherMs - clock.nowMs();
    if (waitMs <= 0) cutAll();
    else timer = clock.after(waitMs, cutAll);
  }

  return {
    write(stream, bytes) {
      const gathered = stream === OutputStream.OUTPUT_STREAM_STDERR ? stderr : stdout;
      const output = gathered === stdout ? filter.push(bytes) : [bytes];
      for (const part of output) take(gathered, part);
      cut(gathered, false);
      save();
      scheduleCut();
      return writing;
    },
    async end() {
      for (const part of filter.flush()) take(stdout, part);
      cutAll();
      while (writing !== undefined) await writing;
    },
  };
}
