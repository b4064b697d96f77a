import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import type { EngineLog } from '../tasks/clock.ts';
import { FRAME_HEADER_BYTES } from './frames.ts';
import { type Segment, SPOOL_VERSION, scanSegment, segmentNumber, segmentPath } from './segment.ts';
import type { SpoolFs } from './spool-fs.ts';
import { stateOf } from './state.ts';

/** What an earlier process left. */
export interface Recovered {
  readonly spoolId: string;
  /** Oldest first. */
  readonly segments: Segment[];
  readonly state: Readonly<Record<string, unknown>>;
  readonly acked: number;
  /** The next record gets it. */
  readonly nextSeq: number;
  /** Records that cannot be read any more. */
  readonly lost: number;
  /** Something behind the last commit was cut off: the next commit goes into a new segment. */
  readonly cut: boolean;
}

/** A frame of a record has at least so many bytes. */
const LEAST_RECORD_BYTES = FRAME_HEADER_BYTES + 6;

/**
 * Reads the segments of a directory. The last commit counts: what was written behind it was never sent.
 * @returns undefined: there is no spool yet, or none that can be used
 * @throws OpenlineError DATA_DIR_UNUSABLE it was written by a newer agent
 */
export async function recoverSpool(fs: SpoolFs, log: EngineLog, directory: string): Promise<Recovered | undefined> {
  const segments: Segment[] = [];
  let newest: { spoolId: string; state: Record<string, unknown>; acked: number } | undefined;
  let cutBytes = 0;
  let lost = 0;
  // The newest first: it has the state, and says from where on an older one does not count.
  for (const number of await segmentNumbers(fs, directory)) {
    const path = segmentPath(directory, number);
    const content = await contentOf(fs, path);
    const scanned = scanSegment(content, newest === undefined);
    if (scanned !== undefined && scanned.header.version > SPOOL_VERSION) {
      throw new OpenlineError('DATA_DIR_UNUSABLE', `${path} was written by a newer agent (${scanned.header.version})`);
    }
    // A crash may have left what is in the remnant already.
    const over = newest !== undefined && (scanned?.header.spool !== newest.spoolId || segments[0]?.remnant === true);
    if (scanned === undefined || over) {
      // The newest may have been cut off while it was begun: nothing of it was sent then.
      if (newest === undefined) cutBytes += content.length;
      if (content.length > 0 && !over)
        log.warn({ path, bytes: content.length }, 'a part of the event spool is not usable');
      await fs.remove(path);
      continue;
    }
    const { header, bytes, records, last, commits } = scanned;
    const after = segments[0];
    if (newest === undefined) {
      const acked = commits.at(-1)?.acked ?? 0;
      newest = { spoolId: header.spool, state: stateOf(commits), acked };
      cutBytes += content.length - bytes;
      if (bytes < content.length) {
        log.warn(
          { path, bytes: content.length - bytes },
          'the end of the event spool was not written whole; it is cut off',
        );
      }
    } else if (after !== undefined && bytes < content.length && !header.remnant) {
      const missing = Math.max(0, after.first - 1 - last);
      lost += missing;
      log.error({ path, records: missing }, 'the event spool is damaged: records that were not sent are gone');
    }
    // After a failed sync the same records were written again into the next segment, and count there.
    const until = Math.min(last, (after?.first ?? Number.POSITIVE_INFINITY) - 1);
    const counted = header.remnant ? records : Math.min(records, until - header.first + 1);
    const { first, remnant } = header;
    segments.unshift({ number, path, bytes, records: counted, last: until, first, remnant });
  }
  if (newest === undefined) return undefined;
  const last = segments.reduce((most, segment) => Math.max(most, segment.last, segment.first - 1), 0);
  // Numbers that may have been given to what was cut off are not given again: the server would take it for a repetition.
  const skipped = Math.ceil(cutBytes / LEAST_RECORD_BYTES);
  return { ...newest, segments, nextSeq: last + 1 + skipped, lost, cut: cutBytes > 0 };
}

/** Newest first. Drafts of an earlier process are removed. */
async function segmentNumbers(fs: SpoolFs, directory: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await fs.list(directory)) {
    const number = segmentNumber(name);
    if (number !== undefined) numbers.push(number);
    else if (name.endsWith('.new')) await fs.remove(join(directory, name));
  }
  return numbers.sort((a, b) => b - a);
}

async function contentOf(fs: SpoolFs, path: string): Promise<Buffer> {
  const file = await fs.open(path);
  try {
    return await file.read(await file.size(), 0);
  } finally {
    await file.close();
  }
}
