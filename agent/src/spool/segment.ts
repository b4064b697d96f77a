import { join } from 'node:path';
import { type Frame, framesOf } from './frames.ts';

export const SPOOL_VERSION = 1;

/** One file of the spool. All but the newest are only read, and go when everything in them was acknowledged. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  /** Up to the end of the last commit. */
  bytes: number;
  /** The lowest number that a record in it may have. */
  readonly first: number;
  /** Of its last record; `first - 1` when there is none. */
  last: number;
  records: number;
  /** What was kept when the spool was full, of this segment and the older ones: its numbers have holes. */
  readonly remnant: boolean;
}

export interface SegmentHeader {
  readonly version: number;
  /** Names the spool. */
  readonly spool: string;
  readonly first: number;
  readonly remnant: boolean;
}

/** What is written with every commit. `full`: the state begins anew with `set`. */
export interface CommitBody {
  /** Acknowledged up to and with this record. */
  readonly acked: number;
  readonly full: boolean;
  readonly set: Readonly<Record<string, unknown>>;
  readonly removed: readonly string[];
}

export const segmentPath = (directory: string, number: number): string =>
  join(directory, `${String(number).padStart(12, '0')}.seg`);

/** @returns undefined: not the name of a segment */
export function segmentNumber(name: string): number | undefined {
  const digits = /^(\d{12})\.seg$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export interface ScannedSegment {
  readonly header: SegmentHeader;
  /** Up to the end of the last commit. */
  readonly bytes: number;
  readonly last: number;
  readonly records: number;
  readonly commits: readonly CommitBody[];
}

/** What a file holds up to its last commit; undefined: no commit is in it. @param withState false: `commits` has only the last */
export function scanSegment(content: Buffer, withState: boolean): ScannedSegment | undefined {
  let header: SegmentHeader | undefined;
  let bytes = 0;
  let last = 0;
  let records = 0;
  const commits: Frame[] = [];
  /** Since the last commit. */
  let open = { last: 0, records: 0 };
  for (const frame of framesOf(content)) {
    if (header === undefined) {
      header = frame.kind === 'header' ? headerOf(frame.payload) : undefined;
      if (header === undefined) return undefined;
      last = header.first - 1;
      continue;
    }
    if (frame.kind === 'record') {
      open = { last: frame.seq, records: open.records + 1 };
    } else if (frame.kind === 'commit') {
      if (!withState) commits.pop();
      commits.push(frame);
      bytes = frame.next;
      if (open.records > 0) last = open.last;
      records += open.records;
      open = { last: 0, records: 0 };
    }
  }
  if (header === undefined || commits.length === 0) return undefined;
  return { header, bytes, last, records, commits: commits.map(({ payload }) => bodyOf(payload)) };
}

/** Our own, and its checksum is right: only another version could have written anything else. */
function headerOf(payload: Buffer): SegmentHeader | undefined {
  const value: Partial<SegmentHeader> = JSON.parse(payload.toString());
  const { version, spool, first, remnant } = value;
  if (typeof version !== 'number' || typeof spool !== 'string' || typeof first !== 'number') return undefined;
  return { version, spool, first, remnant: remnant === true };
}

function bodyOf(payload: Buffer): CommitBody {
  const { acked = 0, full = false, set = {}, removed = [] }: Partial<CommitBody> = JSON.parse(payload.toString());
  return { acked, full, set, removed };
}
