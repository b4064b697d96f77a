import type { Task, TaskResult } from '@openline/proto/agent';
import type { ViewName } from '../host/view.ts';
import type { ReadyTask } from '../packs/library.ts';
import type { Timer } from './clock.ts';
import type { Dispatch } from './dispatch-machine.ts';
import type { JournalRun, ProcessName } from './journal/replay.ts';
import type { Launch } from './launcher.ts';
import type { OutputSpool } from './output/spool.ts';

/** One dispatch in the engine's memory, from its offer until its result is committed. */
export interface Run {
  readonly id: string;
  state: Dispatch;
  /** Until it ends; it may be large. */
  task: Task | undefined;
  readonly acceptedUnixMs: number;
  /** Monotonic: it must not start later. */
  readonly expiresAtMs: number;
  /** The journal holds it (or, for an ending, will as soon as the disk takes it). */
  durable: boolean;
  /** 0: `started` is not in the journal. */
  journalledStartUnixMs: number;
  /** 0: it did not start. */
  startedUnixMs: number;
  process: ProcessName | undefined;
  /** What its process sees; "" when there was none. */
  view: ViewName | '';
  holdsSlot: boolean;
  work: { readonly ready: ReadyTask; readonly parameters: Readonly<Record<string, unknown>> } | undefined;
  launch: Launch | undefined;
  launched: boolean;
  timeout: Timer | undefined;
  spool: OutputSpool | undefined;
  result: TaskResult | undefined;
}

export function newRun(
  fields: Pick<Run, 'id' | 'state' | 'task' | 'acceptedUnixMs' | 'expiresAtMs'> & Partial<Run>,
): Run {
  return {
    durable: false,
    journalledStartUnixMs: 0,
    startedUnixMs: 0,
    process: undefined,
    view: '',
    holdsSlot: false,
    work: undefined,
    launch: undefined,
    launched: false,
    timeout: undefined,
    spool: undefined,
    result: undefined,
    ...fields,
  };
}

/** What a rewritten journal says of it. @param unixOf turns monotonic into wall-clock time */
export function journalRunOf(run: Run, unixOf: (atMs: number) => number): JournalRun {
  return {
    runId: run.id,
    acceptedUnixMs: run.acceptedUnixMs,
    expiresUnixMs: unixOf(run.expiresAtMs),
    task: run.task,
    startedUnixMs: run.journalledStartUnixMs,
    process: run.process,
    result: run.result,
    forgetUnixMs: 0,
  };
}

/** Run ids name files, so they are checked before anything else. */
export function isRunId(id: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(id);
}
