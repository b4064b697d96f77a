import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, stat, unlink } from 'node:fs/promises';
import { OpenlineError } from '@openline/proto/errors';
import { rfc3339 } from '../../telemetry/rfc3339.ts';
import { isErrno } from '../read/errno.ts';
import { readAt } from '../read/fingerprint.ts';
import {
  type LoggedEvent,
  MAX_RECORD_BYTES,
  markerOf,
  type NewEvent,
  problemOf,
  recordOf,
  SEAL_BYTES,
  sealLine,
} from './record.ts';
import { countRecords, createSegment, listSegments, openSegment, segmentPath } from './segments.ts';

export interface EventLog {
  /**
   * On disk when it resolves; all of them or, when it throws, perhaps some. Any number of processes may write at once.
   * @throws OpenlineError EVENT_LOG_FAILED
   */
  append(events: readonly NewEvent[]): Promise<readonly LoggedEvent[]>;
}

export interface EventLogConfig {
  readonly directory: string;
  /** A file is ended when it is this large; default 8 MiB. All who write the same log have the same. */
  readonly segmentBytes?: number;
  /** Files that are kept, read or not; default 8. Older ones are removed, and the reader counts what it had not read. */
  readonly segments?: number;
}

export interface EventLogDeps {
  readonly unixMs?: () => number;
  /** Default: a random UUID. */
  readonly newUid?: () => string;
}

const DEFAULT_SEGMENT_BYTES = 8 * 1024 * 1024;
const DEFAULT_SEGMENTS = 8;
/** In one write, unless a single record is larger. */
const MAX_WRITE_BYTES = 256 * 1024;
/** Of one write that comes too late for its file again and again. */
const MAX_ATTEMPTS = 100;

interface Waiting {
  readonly events: readonly LoggedEvent[];
  readonly bytes: Buffer;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Many processes append to one file, and any of them may end it and begin the next, without a lock: O_APPEND puts all writes into one order. Who
 * finds the file full appends a seal. What stands before the first seal counts; who finds his own record behind it writes it again
 * to the next file. So no record is lost between two files, and none counts twice.
 */
export function createEventLog(
  { directory, segmentBytes = DEFAULT_SEGMENT_BYTES, segments = DEFAULT_SEGMENTS }: EventLogConfig,
  { unixMs = Date.now, newUid = randomUUID }: EventLogDeps = {},
): EventLog {
  const waiting: Waiting[] = [];
  let busy = false;

  async function drain(): Promise<void> {
    busy = true;
    while (waiting.length > 0) {
      const together = takeTogether();
      try {
        await write(Buffer.concat(together.map(({ bytes }) => bytes)), together[0]?.events[0]);
        for (const { done } of together) done();
      } catch (error) {
        for (const { failed } of together) failed(error);
      }
    }
    busy = false;
  }

  /** What waits shares one write and one sync. */
  function takeTogether(): Waiting[] {
    let bytes = 0;
    const fitting = waiting.findIndex((item, at) => {
      bytes += item.bytes.length;
      return at > 0 && bytes > MAX_WRITE_BYTES;
    });
    return waiting.splice(0, fitting === -1 ? waiting.length : fitting);
  }

  async function write(bytes: Buffer, first: LoggedEvent | undefined): Promise<void> {
    if (first === undefined) return;
    const marker = markerOf(first);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const newest = (await listSegments(directory)).at(-1);
      if (newest === undefined) {
        await makeDirectory(directory);
        await createSegment(directory, 1, await modeOfFiles(directory));
        continue;
      }
      const file = await openSegment(directory, newest, 'append');
      if (file === undefined) continue;
      try {
        if ((await file.stat()).size >= segmentBytes) await beginNext(newest, file);
        else if (await appendTo(file, bytes, marker)) return;
      } finally {
        await file.close();
      }
    }
    throw new Error(`${directory}: the file changes all the time`);
  }

  /** @returns false: it came too late, and does not count */
  async function appendTo(file: FileHandle, bytes: Buffer, marker: Buffer): Promise<boolean> {
    const { bytesWritten } = await file.write(bytes);
    if (bytesWritten < bytes.length) throw new Error('there is no room on the device');
    await file.datasync();
    const { size, nlink } = await file.stat();
    if (nlink === 0) return false;
    // Only who saw this much seals: in a smaller file there is nothing to look for.
    if (size <= segmentBytes) return true;
    const tail = await readAt(file, segmentBytes, size - segmentBytes);
    const seal = tail.indexOf(SEAL_BYTES);
    return seal === -1 || tail.indexOf(marker, seal) === -1;
  }

  async function beginNext(first: number, file: FileHandle): Promise<void> {
    await file.write(sealLine(unixMs()));
    await file.datasync();
    const { records } = await countRecords(file);
    await createSegment(directory, first + records, await modeOfFiles(directory));
    const old = (await listSegments(directory)).slice(0, -segments);
    for (const one of old) {
      await unlink(segmentPath(directory, one)).catch((error: unknown) => {
        if (!isErrno(error, 'ENOENT')) throw error;
      });
    }
  }

  return {
    append(events) {
      if (events.length === 0) return Promise.resolve([]);
      return new Promise((resolve, reject) => {
        const at = rfc3339(unixMs());
        const logged = events.map((event) => ({ uid: newUid(), at, ...event }));
        try {
          waiting.push({
            events: logged,
            bytes: encode(logged),
            done: () => resolve(logged),
            failed: (error) => reject(failure(error)),
          });
        } catch (error) {
          reject(error);
          return;
        }
        if (!busy) void drain();
      });
    },
  };
}

/** @throws OpenlineError EVENT_LOG_FAILED one of them is not fit to be written */
function encode(events: readonly LoggedEvent[]): Buffer {
  const lines = events.map((event) => {
    const problem = problemOf(event);
    if (problem !== undefined) throw new OpenlineError('EVENT_LOG_FAILED', problem);
    const line = recordOf(event);
    if (Buffer.byteLength(line) > MAX_RECORD_BYTES)
      throw new OpenlineError('EVENT_LOG_FAILED', `the event is larger than ${MAX_RECORD_BYTES / 1024} KiB`);
    return line;
  });
  return Buffer.from(`\n${lines.join('\n')}\n`);
}

/** Only itself: without an agent's data directory there is no agent whose log it could be. */
async function makeDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error;
  });
}

/** As the directory is: who may write it may write its files. */
async function modeOfFiles(directory: string): Promise<number> {
  return (await stat(directory)).mode & 0o666;
}

function failure(error: unknown): OpenlineError {
  if (error instanceof OpenlineError) return error;
  return new OpenlineError('EVENT_LOG_FAILED', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
