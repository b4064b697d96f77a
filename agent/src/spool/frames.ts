import { crc32 } from 'node:zlib';

/**
 * A spool segment is a sequence of frames: `[length u32][crc32 of the rest u32][kind u8][payload]`, little endian.
 * `header`: JSON, once, first. `record`: `[seq u48][protobuf EventRecord]`. `commit`: JSON; what stands before it since the last
 * one holds, and nothing that stands behind the last one.
 */
export type FrameKind = 'header' | 'record' | 'commit';

export interface Frame {
  readonly kind: FrameKind;
  /** Of a record; otherwise 0. */
  readonly seq: number;
  /** A view of the bytes that were parsed. */
  readonly payload: Buffer;
  /** Where the next frame begins. */
  readonly next: number;
}

export const FRAME_HEADER_BYTES = 9;
const SEQ_BYTES = 6;
const CODES: Readonly<Record<FrameKind, number>> = { header: 1, record: 2, commit: 3 };
const KINDS = new Map<number, FrameKind>([
  [1, 'header'],
  [2, 'record'],
  [3, 'commit'],
]);
/** No frame is larger: what claims to be is damage. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024;

export const headerFrame = (header: object): Buffer => frameOf('header', Buffer.from(JSON.stringify(header)));
export const commitFrame = (json: string): Buffer => frameOf('commit', Buffer.from(json));

export function recordFrame(seq: number, record: Uint8Array): Buffer {
  const payload = Buffer.allocUnsafe(SEQ_BYTES + record.length);
  payload.writeUIntLE(seq, 0, SEQ_BYTES);
  payload.set(record, SEQ_BYTES);
  return frameOf('record', payload);
}

function frameOf(kind: FrameKind, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt8(CODES[kind], 8);
  frame.set(payload, FRAME_HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(8)), 4);
  return frame;
}

/** How long the frame at this position is and what it holds, from its first bytes alone; undefined: it is none, or they are not all here. */
export function peekFrame(bytes: Buffer, at: number): { kind: FrameKind; bytes: number } | undefined {
  if (at + FRAME_HEADER_BYTES > bytes.length) return undefined;
  const kind = KINDS.get(bytes.readUInt8(at + 8));
  const length = FRAME_HEADER_BYTES + bytes.readUInt32LE(at);
  return kind === undefined || length > MAX_FRAME_BYTES ? undefined : { kind, bytes: length };
}

/** The frame at this position; undefined: there is no whole and sound one. */
export function frameAt(bytes: Buffer, at: number): Frame | undefined {
  const peeked = peekFrame(bytes, at);
  if (peeked === undefined || at + peeked.bytes > bytes.length) return undefined;
  const next = at + peeked.bytes;
  if (crc32(bytes.subarray(at + 8, next)) !== bytes.readUInt32LE(at + 4)) return undefined;
  const payload = bytes.subarray(at + FRAME_HEADER_BYTES, next);
  if (peeked.kind !== 'record') return { kind: peeked.kind, seq: 0, payload, next };
  if (payload.length < SEQ_BYTES) return undefined;
  return { kind: 'record', seq: payload.readUIntLE(0, SEQ_BYTES), payload: payload.subarray(SEQ_BYTES), next };
}

/** The sound frames from the beginning up to the first that is not. */
export function* framesOf(bytes: Buffer): Generator<Frame> {
  for (let frame = frameAt(bytes, 0); frame !== undefined; frame = frameAt(bytes, frame.next)) yield frame;
}
