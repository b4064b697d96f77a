import { setImmediate } from 'node:timers/promises';
import { EventRecord } from '@openline/proto/agent';
import { commitFrame, framesOf, headerFrame, recordFrame } from './frames.ts';
import { createRemnant } from './remnant.ts';
import { type Segment, type SegmentHeader, SPOOL_VERSION } from './segment.ts';
import type { SpoolFs } from './spool-fs.ts';
import { createSpoolState } from './state.ts';

const SLICE = 200;

export interface TrimConfig {
  readonly spoolId: string;
  /** Oldest first; changed in place. */
  readonly segments: Segment[];
  readonly acked: number;
  /** The server may have the records up to this one. */
  readonly sentUpTo: number;
  /** Of what is kept, bytes. */
  readonly keepBytes: number;
}

/**
 * Drops most of the oldest segment but the newest one, and puts what is kept of it together with what was kept of those before it.
 * @returns false: there is nothing to drop
 */
export async function trimOldest(fs: SpoolFs, config: TrimConfig): Promise<boolean> {
  const { segments } = config;
  const victim = segments.findIndex(({ remnant }) => !remnant);
  const into = segments[victim];
  if (into === undefined || victim >= segments.length - 1) return false;
  const victims = segments.slice(0, victim + 1);
  const remnant = createRemnant(config.sentUpTo, config.keepBytes);
  for (const segment of victims) {
    for await (const record of recordsOf(fs, segment)) if (record.seq > config.acked) remnant.add(record);
  }
  const kept = remnant.records();

  const header: SegmentHeader = {
    version: SPOOL_VERSION,
    spool: config.spoolId,
    first: victims[0]?.first ?? into.first,
    remnant: true,
  };
  const bytes = Buffer.concat([
    headerFrame(header),
    ...kept.map((record) => recordFrame(Number(record.seq), EventRecord.encode(record).finish())),
    // The state is in the segments behind it.
    commitFrame(createSpoolState().snapshot(config.acked)),
  ]);
  // It takes the place of the newest of them. Older ones that a crash leaves behind do not count any more.
  const draft = `${into.path}.new`;
  await fs.remove(draft);
  const file = await fs.open(draft);
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await fs.rename(draft, into.path);
  await fs.syncDirectoryOf(into.path);
  const { number, path } = into;
  const { first } = header;
  const last = Number(kept.at(-1)?.seq ?? first - 1);
  const size = { bytes: bytes.length, records: kept.length };
  segments.splice(0, victims.length, { number, path, first, last, remnant: true, ...size });
  for (const { path } of victims.slice(0, -1)) await fs.remove(path);
  return true;
}

/** The event loop turns between slices: there may be many of them. */
async function* recordsOf(fs: SpoolFs, segment: Segment): AsyncGenerator<EventRecord> {
  const file = await fs.open(segment.path);
  try {
    let count = 0;
    for (const frame of framesOf(await file.read(segment.bytes, 0))) {
      if (frame.kind !== 'record' || frame.seq > segment.last) continue;
      yield EventRecord.decode(frame.payload);
      if (++count % SLICE === 0) await setImmediate();
    }
  } finally {
    await file.close();
  }
}
