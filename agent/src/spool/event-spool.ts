import { randomUUID } from 'node:crypto';
import { EventRecord } from '@openline/proto/agent';
import { OpenlineError } from '@openline/proto/errors';
import type { Clock, EngineLog } from '../tasks/clock.ts';
import { commitFrame, headerFrame, recordFrame } from './frames.ts';
import { createSpoolReader } from './reader.ts';
import { recoverSpool } from './recovery.ts';
import { type Segment, type SegmentHeader, SPOOL_VERSION, segmentPath } from './segment.ts';
import type { SpoolFile, SpoolFs } from './spool-fs.ts';
import { createSpoolState, NO_CHANGE, type StateChange } from './state.ts';
import { trimOldest } from './trim.ts';

/** A record without its number. */
export type NewRecord = Omit<EventRecord, 'seq'>;

/** What becomes durable together: after a crash all of it is there, or nothing. */
export interface SpoolCommit {
  readonly records: readonly NewRecord[];
  readonly change: StateChange;
}

/**
 * What the agent concluded, and where it goes on, in one log: records for the server, and the state that they came from. A record is on disk
 * before it can be read, and stays until it is acknowledged, or until there is no more room.
 */
export interface EventSpool {
  /** Random, made with the spool. */
  readonly id: string;
  /** What the last process left, and how many of its records cannot be read any more. */
  restored(): { readonly state: Record<string, unknown>; readonly lost: number };
  /**
   * Commits are written in the order in which they come. Resolves when it is written, and on disk if it has records or `sync` is set. Never
   * rejects: while the disk refuses it waits, and `fault` says why. Bounded by the caller, who waits for it.
   */
  commit(commit: SpoolCommit, sync: boolean): Promise<void>;
  /** Records on disk after this number, in order, of about so many bytes; none: there are no more yet. */
  read(after: number, maxBytes: number): Promise<EventRecord[]>;
  /** The server has everything up to and with this one. */
  acknowledged(seq: number): void;
  acked(): number;
  /** Records that were not acknowledged. */
  pendingRecords(): number;
  bytes(): number;
  /** Why the disk refuses; empty when it does not. */
  fault(): string;
  /** Gives up what the disk refuses. */
  close(): Promise<void>;
}

export interface EventSpoolDeps {
  readonly fs: SpoolFs;
  readonly clock: Clock;
  readonly log: EngineLog;
}

export interface EventSpoolConfig {
  readonly directory: string;
  /** On disk at most, about. */
  readonly limitBytes: number;
  /** A new segment is begun beyond this. Default: a sixteenth of the limit. */
  readonly segmentBytes?: number;
  /** Default 1 s. */
  readonly retryMs?: number;
}

interface Waiting {
  readonly commit: SpoolCommit;
  readonly sync: boolean;
  readonly done: () => void;
}

/** @throws OpenlineError DATA_DIR_UNUSABLE */
export async function openEventSpool(deps: EventSpoolDeps, config: EventSpoolConfig): Promise<EventSpool> {
  const { fs, clock, log } = deps;
  const { directory, limitBytes, segmentBytes = Math.ceil(limitBytes / 16), retryMs = 1_000 } = config;
  const recovered = await recoverSpool(fs, log, directory).catch((cause) => {
    if (cause instanceof OpenlineError) throw cause;
    throw new OpenlineError('DATA_DIR_UNUSABLE', `the event spool ${directory}: ${messageOf(cause)}`, { cause });
  });
  const id = recovered?.spoolId ?? randomUUID();
  const segments: Segment[] = recovered?.segments ?? [];
  const state = createSpoolState(recovered?.state);
  const reader = createSpoolReader(fs, log, segments);

  let nextSeq = recovered?.nextSeq ?? 1;
  let acked = recovered?.acked ?? 0;
  /** The next process is told so: it need not send these again. */
  let ackedOnDisk = acked;
  let queue: Waiting[] = [];
  let busy: Promise<void> | undefined;
  /** Of the newest segment; undefined: the next commit begins a new one. */
  let file: SpoolFile | undefined;
  /** There may be bytes behind the end of the newest segment. */
  let dirtyTail = true;
  let fault = '';
  let closed = false;
  let wakeRetry: (() => void) | undefined;

  const newest = segments.at(-1);
  if (newest !== undefined && recovered?.cut === false) file = await fs.open(newest.path);

  function wake(): void {
    busy ??= Promise.resolve()
      .then(work)
      .finally(() => {
        busy = undefined;
        if (queue.length > 0) wake();
      });
  }

  async function work(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      await writeUntilTaken(batch);
      for (const { done } of batch) done();
    }
    await forget();
  }

  async function writeUntilTaken(batch: readonly Waiting[]): Promise<void> {
    const first = nextSeq;
    const told = acked;
    // The records of each before its own commit: a write that is cut off may end between two.
    const parts = batch.map(({ commit }) => ({
      records: commit.records.map(numbered),
      end: commitFrame(state.apply(commit.change, acked)),
    }));
    const records = parts.flatMap((part) => part.records);
    const frames = parts.flatMap((part) => [...part.records, part.end]);
    const sync = records.length > 0 || batch.some((one) => one.sync);
    for (;;) {
      try {
        if (file === undefined || (segments.at(-1)?.bytes ?? 0) > segmentBytes) await begin(first, records);
        else await append(file, frames, records.length, sync);
        break;
      } catch (error) {
        if (fault === '') log.error({ directory, error: messageOf(error) }, 'the event spool cannot be written');
        fault = `event spool: ${messageOf(error)}`;
        if (closed) return;
        await pause();
      }
    }
    if (fault !== '') log.info({ directory }, 'the event spool can be written again');
    fault = '';
    ackedOnDisk = told;
  }

  function numbered(record: NewRecord): Buffer {
    const seq = nextSeq++;
    return recordFrame(seq, EventRecord.encode({ ...record, seq: BigInt(seq) }).finish());
  }

  async function append(to: SpoolFile, frames: readonly Buffer[], records: number, sync: boolean): Promise<void> {
    const segment = segments.at(-1);
    if (segment === undefined) throw new Error('there is no segment to append to');
    if (dirtyTail) await to.truncate(segment.bytes);
    dirtyTail = true;
    const bytes = Buffer.concat(frames);
    await to.write(bytes, segment.bytes);
    if (sync) {
      try {
        await to.sync();
      } catch (error) {
        // The kernel may have dropped pages that it now calls clean: only a new file can be trusted.
        file = undefined;
        await to.close().catch(() => undefined);
        throw error;
      }
    }
    segment.bytes += bytes.length;
    segment.records += records;
    segment.last = nextSeq - 1;
    dirtyTail = false;
  }

  /** A new segment, with the whole state, so that the older ones matter only for their records. */
  async function begin(first: number, records: readonly Buffer[]): Promise<void> {
    const number = (segments.at(-1)?.number ?? 0) + 1;
    const path = segmentPath(directory, number);
    const header: SegmentHeader = { version: SPOOL_VERSION, spool: id, first, remnant: false };
    const bytes = Buffer.concat([headerFrame(header), ...records, commitFrame(state.snapshot(acked))]);
    await fs.remove(path);
    const next = await fs.open(path);
    try {
      await next.write(bytes, 0);
      await next.sync();
      await fs.syncDirectoryOf(path);
    } catch (error) {
      await next.close().catch(() => undefined);
      // Else a crash now would find two that hold the same records.
      await fs.remove(path).catch(() => undefined);
      throw error;
    }
    await file?.close().catch(() => undefined);
    file = next;
    dirtyTail = false;
    const size = { bytes: bytes.length, records: records.length };
    segments.push({ number, path, first, last: nextSeq - 1, remnant: false, ...size });
  }

  /** Removes what was acknowledged, and the oldest of what is too much. What fails here is tried again with the next commit. */
  async function forget(): Promise<void> {
    try {
      for (let oldest = segments[0]; oldest !== undefined && segments.length > 1; oldest = segments[0]) {
        if (oldest.last > acked) break;
        await fs.remove(oldest.path);
        segments.shift();
      }
      while (total() > limitBytes && segments.length > 1) {
        const freed = await reader.exclusive((sentUpTo) =>
          trimOldest(fs, { spoolId: id, segments, acked, sentUpTo, keepBytes: limitBytes / 4 }),
        );
        if (!freed) break;
      }
    } catch (error) {
      log.warn({ directory, error: messageOf(error) }, 'the event spool cannot forget what it should');
    }
  }

  const total = () => segments.reduce((sum, { bytes }) => sum + bytes, 0);

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(retryMs, resolve);
      wakeRetry = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  return {
    id,
    restored: () => ({ state: state.read(), lost: recovered?.lost ?? 0 }),
    commit(commit, sync) {
      if (closed) return Promise.resolve();
      return new Promise((done) => {
        queue.push({ commit, sync, done });
        wake();
      });
    },
    read: (after, maxBytes) => (closed ? Promise.resolve([]) : reader.read(after, maxBytes)),
    acknowledged(seq) {
      if (seq <= acked || seq > (segments.at(-1)?.last ?? 0)) return;
      acked = seq;
      if (segments.length > 1 && (segments[0]?.last ?? 0) <= acked) wake();
    },
    acked: () => acked,
    pendingRecords() {
      let count = 0;
      for (const { last, records } of segments) count += Math.max(0, Math.min(records, last - acked));
      return count;
    },
    bytes: total,
    fault: () => fault,
    async close() {
      if (closed) return;
      if (acked !== ackedOnDisk) queue.push({ commit: { records: [], change: NO_CHANGE }, sync: false, done() {} });
      wake();
      closed = true;
      wakeRetry?.();
      while (busy !== undefined) await busy;
      await reader.close();
      await file?.sync().catch(() => undefined);
      await file?.close().catch(() => undefined);
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
