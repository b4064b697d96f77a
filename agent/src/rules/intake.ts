import type { NodeEvent } from '@openline/packs';
import type { EventSink, Position } from '../events/source.ts';
import type { Clock } from '../tasks/clock.ts';
import type { GapSpan } from './records.ts';
import { createShare } from './share.ts';

/** Who takes the events, one batch after the other. */
export interface Consumer {
  /** Resolves when it can take more. */
  room(): Promise<void>;
  batchBegins(): void;
  event(event: NodeEvent): void;
  gap(span: GapSpan): void;
  /** Everything of the batch was taken: the source goes on from here after a crash. undefined: it has no position. */
  batchEnds(log: string, position: Position | undefined): void;
  /** A source cannot read, or can again ('' then). */
  sourceFault(log: string, what: string): void;
}

/**
 * Takes batches from all sources in turn, and gives them to the rules in slices, so that the event loop is never held for long. A source whose
 * batch waits reads nothing meanwhile: what it would read stays in its log.
 */
export interface Intake {
  sinkFor(log: string): EventSink;
  /** Resolves when this went the way that events go. */
  proof(): Promise<void>;
  /** Resolves when the batch in hand is through. What waits is dropped, without a position: the next process reads it again. */
  stop(): Promise<void>;
}

export interface IntakeConfig {
  /** Of one processor, over 0 up to 1. */
  readonly share: number;
  /** A source that has been behind for so long, with events older than this, skips on to newer ones. */
  readonly maxBacklogMs: number;
  /** Told of every batch, and of how much of the processor the rules used for it, milliseconds. */
  readonly took?: (events: number, usedMs: number) => void;
  /** Processor time of this thread, milliseconds; default: the system's. */
  readonly cpuMs?: () => number;
}

interface Item {
  readonly log: string;
  readonly batch: readonly NodeEvent[];
  readonly position: Position | undefined;
  readonly source: SourceState | undefined;
  readonly done: () => void;
}

interface SourceState {
  /** Known to be lost before the next position. */
  lost: { events: number; reason: string }[];
  /** Since when it always had a next batch. */
  busySinceMs: number;
  /** As it said with its last batch. */
  more: boolean | undefined;
  lastTakenMs: number;
  skipping: boolean;
}

/** Longer than this no slice lasts, but for its last event. */
const SLICE_MS = 8;
/** A source that cannot say so, and comes with the next batch later than this, has seen the end of its log. */
const IDLE_MS = 50;
export const FLOOD = 'flood';

export function createIntake(clock: Clock, consumer: Consumer, config: IntakeConfig): Intake {
  const queue: Item[] = [];
  const share = createShare(config.share);
  const { cpuMs = threadCpuMs } = config;
  let pumping: Promise<void> | undefined;
  let stopped = false;

  function put(item: Item): void {
    queue.push(item);
    wake();
  }

  function wake(): void {
    pumping ??= pump().finally(() => {
      pumping = undefined;
      // What came while it was ending.
      if (queue.length > 0) wake();
    });
  }

  async function pump(): Promise<void> {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      await consumer.room();
      if (stopped) return;
      await take(item);
      item.done();
    }
  }

  async function take({ log, batch, position, source }: Item): Promise<void> {
    consumer.batchBegins();
    let usedMs = 0;
    if (source !== undefined && tooOld(source, batch)) {
      consumer.gap({ log, reason: FLOOD, events: batch.length, ...spanOf(batch) });
    } else usedMs = await work(batch);
    const nowUnixMs = clock.unixMs();
    for (const { events, reason } of source?.lost.splice(0) ?? []) {
      consumer.gap({ log, reason, events, fromUnixMs: nowUnixMs, toUnixMs: nowUnixMs });
    }
    if (source !== undefined) source.lastTakenMs = clock.nowMs();
    consumer.batchEnds(log, position);
    config.took?.(batch.length, usedMs);
  }

  /** @returns how much of the processor it used, milliseconds */
  async function work(batch: readonly NodeEvent[]): Promise<number> {
    let batchMs = 0;
    let sliceMs = clock.nowMs();
    let sliceCpuMs = cpuMs();
    for (const [i, event] of batch.entries()) {
      consumer.event(event);
      const nowMs = clock.nowMs();
      if (nowMs - sliceMs < SLICE_MS && i < batch.length - 1) continue;
      const usedMs = cpuMs() - sliceCpuMs;
      batchMs += usedMs;
      const restMs = share.worked(usedMs, nowMs);
      if (restMs > 0 || nowMs - sliceMs >= SLICE_MS) await rest(restMs);
      sliceMs = clock.nowMs();
      sliceCpuMs = cpuMs();
    }
    return batchMs;
  }

  /** At least one turn of the event loop. */
  function rest(restMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (restMs < 1) setImmediate(resolve);
      else clock.after(restMs, resolve);
    });
  }

  /** Behind for long, and far behind. Then on to what is fresh, so that what is told is not late for ever. */
  function tooOld(source: SourceState, batch: readonly NodeEvent[]): boolean {
    const newest = batch.at(-1);
    if (newest === undefined) return false;
    const ageMs = clock.unixMs() - newest.atUnixMs;
    const busyMs = clock.nowMs() - source.busySinceMs;
    if (source.skipping) source.skipping = ageMs > config.maxBacklogMs / 4;
    else source.skipping = busyMs > config.maxBacklogMs && ageMs > config.maxBacklogMs;
    return source.skipping;
  }

  return {
    sinkFor(log) {
      const nowMs = clock.nowMs();
      const source: SourceState = { lost: [], busySinceMs: nowMs, more: false, lastTakenMs: nowMs, skipping: false };
      return {
        push(batch, position, more) {
          const atMs = clock.nowMs();
          const sawTheEnd = source.more === undefined ? atMs - source.lastTakenMs > IDLE_MS : !source.more;
          source.more = more;
          if (sawTheEnd) {
            source.busySinceMs = atMs;
            source.skipping = false;
          }
          return new Promise((done) => {
            if (!stopped) put({ log, batch, position, source, done });
          });
        },
        lost: (events, reason) => void source.lost.push({ events, reason }),
        fault: (what) => consumer.sourceFault(log, what),
      };
    },
    proof: () =>
      new Promise((done) => {
        if (!stopped) put({ log: '', batch: [], position: undefined, source: undefined, done });
      }),
    async stop() {
      stopped = true;
      queue.length = 0;
      await pumping;
    },
  };
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function spanOf(batch: readonly NodeEvent[]): { fromUnixMs: number; toUnixMs: number } {
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (const { atUnixMs } of batch) {
    from = Math.min(from, atUnixMs);
    to = Math.max(to, atUnixMs);
  }
  return { fromUnixMs: from, toUnixMs: to };
}
