import { EventRecord } from '@openline/proto/agent';
import type { EngineLog } from '../tasks/clock.ts';
import { type Frame, frameAt, peekFrame } from './frames.ts';
import type { Segment } from './segment.ts';
import type { SpoolFile, SpoolFs } from './spool-fs.ts';

/** Reads records back, in order, from whichever segment holds them. */
export interface SpoolReader {
  /** Records after this number, of about so many bytes but at least one; none: there are no more. */
  read(after: number, maxBytes: number): Promise<EventRecord[]>;
  /**
   * Runs while nothing is being read; what was open is opened again afterwards, as files may have been replaced.
   * @param run is told the highest number that was ever read: the server may have it
   */
  exclusive<T>(run: (readUpTo: number) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** More than the largest record. */
const WINDOW_BYTES = 256 * 1024;
const NOTHING = Buffer.alloc(0);

/** Somewhere in a segment: `offset` in a window that begins at `at` of its file. */
interface Place {
  readonly segment: Segment;
  readonly file: SpoolFile;
  at: number;
  window: Buffer;
  offset: number;
  /** The last record that was taken. */
  after: number;
}

/** @param segments as they are now, oldest first; `last` and `bytes` of the newest grow with what is on disk */
export function createSpoolReader(fs: SpoolFs, log: EngineLog, segments: readonly Segment[]): SpoolReader {
  let place: Place | undefined;
  let readUpTo = 0;
  let turn: Promise<unknown> = Promise.resolve();

  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = turn.then(run);
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function leave(): Promise<void> {
    const left = place;
    place = undefined;
    await left?.file.close().catch(() => undefined);
  }

  async function placeIn(segment: Segment, after: number): Promise<Place> {
    if (place?.segment === segment && place.after <= after) return place;
    await leave();
    place = { segment, file: await fs.open(segment.path), at: 0, window: NOTHING, offset: 0, after: 0 };
    return place;
  }

  async function read(after: number, maxBytes: number): Promise<EventRecord[]> {
    const records: EventRecord[] = [];
    let bytes = 0;
    let last = after;
    for (;;) {
      const segment = segments.find((one) => one.last > last);
      if (segment === undefined) break;
      const from = await placeIn(segment, last);
      const frame = await nextRecord(from);
      if (frame === undefined) {
        log.error(
          { path: segment.path, after: last },
          'the event spool is damaged: records that were not sent are gone',
        );
        last = segment.last;
        continue;
      }
      if (frame.seq > last) {
        if (records.length > 0 && bytes + frame.payload.length > maxBytes) return records;
        records.push(EventRecord.decode(frame.payload));
        bytes += frame.payload.length;
        last = frame.seq;
      }
      from.offset = frame.next;
      from.after = frame.seq;
    }
    // At the end of everything nobody may come back for long.
    if (place !== undefined) rewindow(place, NOTHING);
    return records;
  }

  return {
    read: (after, maxBytes) =>
      inTurn(async () => {
        const records = await read(after, maxBytes);
        readUpTo = Math.max(readUpTo, Number(records.at(-1)?.seq ?? 0));
        return records;
      }),
    exclusive: (run) =>
      inTurn(async () => {
        await leave();
        return run(readUpTo);
      }),
    close: () => inTurn(leave),
  };
}

/** The record at this place or behind it, not taken yet; undefined: the rest of the segment cannot be read. */
async function nextRecord(place: Place): Promise<Frame | undefined> {
  for (let fresh = false; ; ) {
    const peeked = peekFrame(place.window, place.offset);
    if (peeked !== undefined && peeked.kind !== 'record') {
      // May lead beyond the window: the state may be large, and nobody wants it here.
      place.offset += peeked.bytes;
      fresh = false;
      continue;
    }
    const frame = frameAt(place.window, place.offset);
    if (frame !== undefined || fresh) return frame;
    const at = place.at + place.offset;
    rewindow(place, await place.file.read(Math.max(0, Math.min(WINDOW_BYTES, place.segment.bytes - at)), at));
    fresh = true;
  }
}

function rewindow(place: Place, window: Buffer): void {
  place.at += place.offset;
  place.offset = 0;
  place.window = window;
}
