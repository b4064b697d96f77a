import type { FileHandle } from 'node:fs/promises';
import type { NodeEvent } from '@openline/packs';
import { READ_BYTES } from '../read/bounds.ts';
import {
  type Fingerprint,
  fingerprintOf,
  fits,
  isWhole,
  NO_FINGERPRINT,
  parseFingerprint,
} from '../read/fingerprint.ts';
import { createLoop, type LoopDeps, type Reading } from '../read/loop.ts';
import { decodePosition, isCount, POSITION_UNREADABLE } from '../read/position.ts';
import { createWake } from '../read/wake.ts';
import type { EventSource } from '../source.ts';
import { parseRecord } from './record.ts';
import { countRecords, listSegments, openSegment, type Piece, readPiece } from './segments.ts';

export interface AgentLogConfig {
  readonly directory: string;
  /** How often it is looked at though nothing said that it changed, milliseconds; default 1 s. */
  readonly pollMs?: number;
}

/** Where the reader is: in which file, and how many records came before. */
interface Place {
  /** Number of the file's first record: its name. */
  readonly first: number;
  readonly offset: number;
  readonly skipping: boolean;
  /** Number of the next record. */
  readonly record: number;
  readonly fingerprint: Fingerprint;
}

const beginningOf = (first: number): Place => ({
  first,
  offset: 0,
  skipping: false,
  record: first,
  fingerprint: NO_FINGERPRINT,
});

/** The agent's own event log. What was removed before it was read is lost, and known to the record. */
export function createAgentLogSource(deps: LoopDeps, { directory, pollMs = 1_000 }: AgentLogConfig): EventSource {
  return createLoop(deps, 'agent', async (reading) => {
    const wake = createWake(deps.clock, reading.signal);
    const change = async () => {
      reading.healthy();
      wake.watch([directory]);
      await wake.wait(pollMs);
    };
    try {
      await readLog(reading, directory, change);
    } finally {
      wake.close();
    }
  });
}

async function readLog(reading: Reading, directory: string, change: () => Promise<void>): Promise<void> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const saved = reading.position();
  const known = decodePosition(saved, parsePlace);
  if (saved !== undefined && known === undefined) reading.lost(0, POSITION_UNREADABLE);
  let place = known ?? (await endOf(directory));
  if (known === undefined) await reading.push([], JSON.stringify(place));

  while (!reading.signal.aborted) {
    const file = await openSegment(directory, place.first, 'read');
    if (file === undefined) {
      await goOnWithout();
      continue;
    }
    try {
      if (await isAt(file, place)) await readFile(file);
      else startAnew(await listSegments(directory));
    } finally {
      await file.close();
    }
  }

  /** Until the next file has begun, or this one was removed. */
  async function readFile(file: FileHandle): Promise<void> {
    while (!reading.signal.aborted) {
      if (await readSome(file)) continue;
      const newer = await nextFile();
      if (newer === undefined) {
        if ((await file.stat()).nlink === 0) return;
        await change();
        continue;
      }
      // A file is complete before the next one is made: now there is nothing more to come.
      if (await readSome(file)) continue;
      moveTo(newer);
      return;
    }
  }

  /** @returns whether there was anything */
  async function readSome(file: FileHandle): Promise<boolean> {
    const piece = await readPiece(file, place, buffer);
    if (piece.offset === place.offset) return false;
    place = await take(file, piece);
    return true;
  }

  async function take(file: FileHandle, { lines, offset, skipping, more }: Piece): Promise<Place> {
    const events: NodeEvent[] = [];
    for (const line of lines) {
      const event = parseRecord(line);
      if (event !== undefined) events.push(event);
    }
    const broken = lines.length - events.length;
    if (broken > 0) reading.lost(broken, 'not whole: their writer died, or does not know how to write them');
    const fingerprint = isWhole(place.fingerprint) ? place.fingerprint : await fingerprintOf(file, offset);
    const after = { first: place.first, offset, skipping, record: place.record + lines.length, fingerprint };
    await reading.push(events, JSON.stringify(after), more);
    return after;
  }

  async function nextFile(): Promise<number | undefined> {
    return (await listSegments(directory)).find((first) => first > place.first);
  }

  function moveTo(first: number): void {
    if (first > place.record) reading.lost(first - place.record, 'removed before they were read');
    place = beginningOf(first);
  }

  /** The file at hand is not there (any more). */
  async function goOnWithout(): Promise<void> {
    const files = await listSegments(directory);
    const newer = files.find((first) => first > place.first);
    if (newer !== undefined) moveTo(newer);
    else if (files.length === 0) await change();
    // Otherwise it came just now.
    else if (!files.includes(place.first)) startAnew(files);
  }

  /** Somebody removed the log, or put another one in its place. */
  function startAnew(files: readonly number[]): void {
    reading.lost(0, 'the log was replaced');
    place = beginningOf(files[0] ?? 1);
  }
}

/** "From now on". */
async function endOf(directory: string): Promise<Place> {
  const first = (await listSegments(directory)).at(-1);
  if (first === undefined) return beginningOf(1);
  const file = await openSegment(directory, first, 'read');
  if (file === undefined) return endOf(directory);
  try {
    const { records, end } = await countRecords(file);
    const { offset, skipping } = end;
    return { first, offset, skipping, record: first + records, fingerprint: await fingerprintOf(file, offset) };
  } finally {
    await file.close();
  }
}

async function isAt(file: FileHandle, place: Place): Promise<boolean> {
  return (await file.stat()).size >= place.offset && (await fits(file, place.fingerprint));
}

function parsePlace(value: Readonly<Record<string, unknown>>): Place | undefined {
  const { first, offset, skipping, record } = value;
  const fingerprint = parseFingerprint(value['fingerprint']);
  const known = isCount(first) && isCount(offset) && isCount(record) && typeof skipping === 'boolean' && fingerprint;
  return known ? { first, offset, skipping, record, fingerprint } : undefined;
}
