import { constants, type FileHandle, open, rm } from 'node:fs/promises';
import { OutputStream } from '@openline/proto/agent';
import { MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';

/** One chunk of output. Once in the spool its boundaries are fixed, so that a repeated chunk is the same chunk. */
export interface Chunk {
  readonly stream: OutputStream;
  readonly data: Buffer;
}

/** The kept output of one dispatch, in a file made with the first byte: `[stream u8][length u32][bytes]` for each chunk. */
export interface OutputSpool {
  /** Never rejects: what the disk refuses is counted as dropped, `fault` says why, and nothing is kept after it (an output has no holes). */
  append(chunks: readonly Chunk[]): Promise<void>;
  /** Counts output that nobody keeps. */
  drop(bytes: number): void;
  /** The chunk at this position in the file, and where the next begins. undefined: there is none (yet), or it cannot be read. */
  read(position: number): Promise<{ chunk: Chunk; next: number } | undefined>;
  /** Bytes of output in the file. */
  keptBytes(): number;
  droppedBytes(): number;
  fault(): string;
  /** Gives back the file handle; a later read opens it again. */
  release(): Promise<void>;
  remove(): Promise<void>;
}

/** How much output all dispatches of the agent may keep on disk together, bytes. */
export interface SpoolBudget {
  freeBytes: number;
}

const HEADER_BYTES = 5;

/** @param found what `measureSpool` found in a file of an earlier process */
export function createOutputSpool(
  path: string,
  budget: SpoolBudget,
  found: SpoolSize = { fileBytes: 0, keptBytes: 0 },
): OutputSpool {
  let handle: Promise<FileHandle> | undefined;
  let { fileBytes, keptBytes } = found;
  let droppedBytes = 0;
  let fault = '';
  let exists = fileBytes > 0;
  let removed = false;
  budget.freeBytes -= fileBytes;

  function opened(): Promise<FileHandle> {
    if (handle === undefined) {
      exists = true;
      handle = open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      handle.catch(() => {
        handle = undefined;
      });
    }
    return handle;
  }

  return {
    async append(chunks) {
      const parts = chunks.flatMap(({ stream, data }) => [headerOf(stream, data.length), data]);
      const total = parts.reduce((sum, part) => sum + part.length, 0);
      const payload = total - chunks.length * HEADER_BYTES;
      if (fault === '' && total > budget.freeBytes) {
        fault = 'the agent keeps as much output on disk as it may, waiting for the server to take it';
      }
      if (fault !== '' || removed) {
        droppedBytes += payload;
        return;
      }
      budget.freeBytes -= total;
      try {
        const file = await opened();
        const { bytesWritten } = await file.writev(parts, fileBytes);
        if (bytesWritten < total) throw new Error('no space left on device');
        fileBytes += total;
        keptBytes += payload;
      } catch (error) {
        budget.freeBytes += total;
        fault = error instanceof Error ? error.message : String(error);
        droppedBytes += payload;
      }
    },
    drop(bytes) {
      droppedBytes += bytes;
    },
    async read(position) {
      if (removed || position + HEADER_BYTES > fileBytes) return undefined;
      try {
        const file = await opened();
        const bytes = Buffer.allocUnsafe(Math.min(HEADER_BYTES + MAX_OUTPUT_CHUNK_BYTES, fileBytes - position));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, position);
        const frame = frameAt(bytes.subarray(0, bytesRead), 0);
        return frame === undefined ? undefined : { chunk: frame.chunk, next: position + frame.next };
      } catch {
        return undefined;
      }
    },
    keptBytes: () => keptBytes,
    droppedBytes: () => droppedBytes,
    fault: () => fault,
    async release() {
      const open = handle;
      handle = undefined;
      await open?.then((file) => file.close()).catch(() => undefined);
    },
    async remove() {
      if (removed) return;
      removed = true;
      budget.freeBytes += fileBytes;
      await this.release();
      if (exists) await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

export interface SpoolSize {
  /** Up to the end of the last whole chunk. */
  readonly fileBytes: number;
  readonly keptBytes: number;
}

/** The size of a spool file that another process wrote; a last chunk that is not whole does not count. */
export function measureSpool(content: Buffer): SpoolSize {
  let fileBytes = 0;
  let keptBytes = 0;
  for (let frame = frameAt(content, 0); frame !== undefined; frame = frameAt(content, fileBytes)) {
    fileBytes = frame.next;
    keptBytes += frame.chunk.data.length;
  }
  return { fileBytes, keptBytes };
}

function headerOf(stream: OutputStream, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt8(stream, 0);
  header.writeUInt32LE(length, 1);
  return header;
}

function frameAt(bytes: Buffer, position: number): { chunk: Chunk; next: number } | undefined {
  if (position + HEADER_BYTES > bytes.length) return undefined;
  const stream = bytes.readUInt8(position);
  const start = position + HEADER_BYTES;
  const next = start + bytes.readUInt32LE(position + 1);
  if (stream !== OutputStream.OUTPUT_STREAM_STDOUT && stream !== OutputStream.OUTPUT_STREAM_STDERR) return undefined;
  if (next === start || next - start > MAX_OUTPUT_CHUNK_BYTES || next > bytes.length) return undefined;
  return { chunk: { stream, data: bytes.subarray(start, next) }, next };
}
