import type { Task, TaskResult } from '@openline/proto/agent';
import { decodeResult, decodeTask, encodeResult, encodeTask, JOURNAL_VERSION, type JournalRecord } from './records.ts';

/** Names a process beyond doubt, also after its pid was given to another. */
export interface ProcessName {
  readonly pid: number;
  readonly ticks: string;
  readonly boot: string;
}

/** What the journal knows of one dispatch. */
export interface JournalRun {
  readonly runId: string;
  acceptedUnixMs: number;
  expiresUnixMs: number;
  /** Until it ended. */
  task: Task | undefined;
  /** 0: not started. */
  startedUnixMs: number;
  process: ProcessName | undefined;
  /** From its end until the server committed it. */
  result: TaskResult | undefined;
  /** Committed; the id is remembered until then. 0: not committed. */
  forgetUnixMs: number;
}

export interface JournalContent {
  readonly id: string | undefined;
  readonly version: number;
  readonly runs: Map<string, JournalRun>;
}

/** Pure. Records may repeat and may come after a later one of the same dispatch: a dispatch never goes back. */
export function replay(records: Iterable<JournalRecord>): JournalContent {
  let id: string | undefined;
  let version = JOURNAL_VERSION;
  const runs = new Map<string, JournalRun>();
  const runOf = (runId: string): JournalRun => {
    let run = runs.get(runId);
    if (run === undefined) {
      run = {
        runId,
        acceptedUnixMs: 0,
        expiresUnixMs: 0,
        task: undefined,
        startedUnixMs: 0,
        process: undefined,
        result: undefined,
        forgetUnixMs: 0,
      };
      runs.set(runId, run);
    }
    return run;
  };
  for (const record of records) {
    switch (record.t) {
      case 'journal':
        id = record.id;
        version = record.version;
        break;
      case 'accepted': {
        const run = runOf(record.run);
        run.acceptedUnixMs = record.at;
        run.expiresUnixMs = record.expires;
        if (run.result === undefined && run.forgetUnixMs === 0) run.task = decodeTask(record.task);
        break;
      }
      case 'started':
        runOf(record.run).startedUnixMs = record.at;
        break;
      case 'process':
        runOf(record.run).process = { pid: record.pid, ticks: record.ticks, boot: record.boot };
        break;
      case 'ended': {
        const run = runOf(record.run);
        run.expiresUnixMs = record.expires;
        run.task = undefined;
        if (run.forgetUnixMs === 0) run.result = decodeResult(record.result);
        break;
      }
      case 'committed': {
        const run = runOf(record.run);
        run.forgetUnixMs = record.forget;
        run.task = undefined;
        run.result = undefined;
        break;
      }
      case 'probe':
        break;
      default:
        record satisfies never;
    }
  }
  return { id, version, runs };
}

/** The fewest records that say the same; the inverse of `replay`. */
export function recordsOf(run: JournalRun): JournalRecord[] {
  if (run.forgetUnixMs > 0) return [{ t: 'committed', run: run.runId, forget: run.forgetUnixMs }];
  if (run.result !== undefined) {
    return [{ t: 'ended', run: run.runId, expires: run.expiresUnixMs, result: encodeResult(run.result) }];
  }
  const records: JournalRecord[] = [];
  if (run.task !== undefined) {
    const { acceptedUnixMs: at, expiresUnixMs: expires } = run;
    records.push({ t: 'accepted', run: run.runId, at, expires, task: encodeTask(run.task) });
  }
  if (run.startedUnixMs > 0) records.push({ t: 'started', run: run.runId, at: run.startedUnixMs });
  if (run.process !== undefined) records.push({ t: 'process', run: run.runId, ...run.process });
  return records;
}
