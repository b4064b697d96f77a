import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { MAX_TTL_MS } from '@openline/proto/limits';
import { createGroupLog, type Durability, type GroupLog, type GroupLogDeps } from './group-log.ts';
import { JOURNAL_VERSION, type JournalRecord, lineOf, parseJournal, probeOf } from './records.ts';
import { type JournalContent, type JournalRun, type ProcessName, recordsOf, replay } from './replay.ts';

/** One agent's log of its dispatches. What it knows of was taken; what it does not know of was certainly never started. */
export interface Journal {
  readonly id: string;
  /** What the last process left, in the order in which it was accepted. */
  readonly restored: readonly JournalRun[];
  /** Dispatches that were running when the last process died, or may have been. */
  readonly orphans: readonly { readonly runId: string; readonly process: ProcessName | undefined }[];
  append(records: readonly JournalRecord[], durability: Durability, done?: (error?: Error) => void): void;
  /** From now on a rewritten file holds these, and no longer what was restored. */
  follow(runs: () => Iterable<JournalRun>): void;
  lastSyncedMs(): number;
  fault(): string;
  close(): Promise<void>;
}

export interface JournalDeps extends Pick<GroupLogDeps, 'fs' | 'clock' | 'log' | 'synced'> {}

/**
 * Opens `<directory>/journal.log`, cuts off a last line that was not written to its end, and starts a new journal when the old one is damaged.
 * @throws OpenlineError DATA_DIR_UNUSABLE
 */
export async function openJournal(
  deps: JournalDeps,
  config: { directory: string; rewriteAfterBytes?: number; retryMs?: number; selfCheckMs?: number },
): Promise<Journal> {
  const { fs, clock, log } = deps;
  const path = join(config.directory, 'journal.log');
  try {
    await mkdir(config.directory, { recursive: true, mode: 0o700 });
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    const parsed = parseJournal(content);
    const old = replay(parsed.records);
    if (old.version > JOURNAL_VERSION) {
      throw new OpenlineError('DATA_DIR_UNUSABLE', `${path} was written by a newer agent (version ${old.version})`);
    }
    const orphans = orphansOf(old);
    const damaged = parsed.damaged || (parsed.validBytes > 0 && old.id === undefined);
    let restored = [...old.runs.values()];
    let id = old.id;
    let validBytes = parsed.validBytes;
    if (damaged) {
      const aside = `${path}.corrupt-${new Date(clock.unixMs()).toISOString().replaceAll(':', '')}`;
      await fs.rename(path, aside);
      log.error({ path, aside }, 'the journal is damaged: it is kept aside, and what it started can no longer be told');
      restored = restored.map((run) => rememberedOnly(run, clock.unixMs()));
      id = undefined;
      validBytes = 0;
    } else if (validBytes < content.length) {
      log.warn(
        { path, bytes: content.length - validBytes },
        'the end of the journal was not written whole; it is cut off',
      );
    }
    const journalId = id ?? randomUUID();
    const header = lineOf({ t: 'journal', id: journalId, version: JOURNAL_VERSION });
    let runs = (): Iterable<JournalRun> => restored;
    const groupLog = await createGroupLog(
      {
        fs,
        clock,
        log,
        synced: deps.synced,
        probe: probeOf,
        snapshot: () => [header, ...Array.from(runs(), (run) => recordsOf(run).map(lineOf).join(''))],
      },
      { ...config, path, validBytes },
    );
    if (id === undefined) {
      groupLog.append(header + restored.map((run) => recordsOf(run).map(lineOf).join('')).join(''), 'written');
      await fs.syncDirectoryOf(path);
    }
    return {
      ...writerOf(groupLog),
      id: journalId,
      restored,
      orphans,
      follow(source) {
        runs = source;
      },
      close: groupLog.close,
    };
  } catch (error) {
    if (error instanceof OpenlineError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OpenlineError('DATA_DIR_UNUSABLE', `the journal ${path} cannot be opened: ${reason}`, { cause: error });
  }
}

/** For many simulated agents of one process: they share the log and its syncs, begin empty, and nothing is ever read back. */
export function sharedJournal(groupLog: GroupLog): Journal {
  return {
    ...writerOf(groupLog),
    id: randomUUID(),
    restored: [],
    orphans: [],
    follow() {},
    close: () => Promise.resolve(),
  };
}

function writerOf(groupLog: GroupLog): Pick<Journal, 'append' | 'lastSyncedMs' | 'fault'> {
  return {
    append(records, durability, done) {
      groupLog.append(records.map(lineOf).join(''), durability, done);
    },
    lastSyncedMs: groupLog.lastSyncedMs,
    fault: groupLog.fault,
  };
}

function orphansOf(content: JournalContent): Journal['orphans'] {
  return [...content.runs.values()]
    .filter((run) => run.startedUnixMs > 0 && run.result === undefined && run.forgetUnixMs === 0)
    .map((run) => ({ runId: run.runId, process: run.process }));
}

/** Of a damaged journal only the ids are used: so that what it may have started is not started again. */
function rememberedOnly(run: JournalRun, nowUnixMs: number): JournalRun {
  return { ...run, task: undefined, result: undefined, forgetUnixMs: run.forgetUnixMs || nowUnixMs + MAX_TTL_MS };
}
