import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Interpreter, Risk } from '@openline/packs';
import type { Task } from '@openline/proto/agent';
import type { ErrorCode } from '@openline/proto/errors';
import { MAX_OUTPUT_BYTES, MAX_TTL_MS } from '@openline/proto/limits';
import type { Properties } from '@openline/proto/properties';
import { eventsDirectoryIn } from '../config/data-dir.ts';
import { createEventLog } from '../events/agent-log/writer.ts';
import { ownSeenByTasks, type View, viewOf } from '../host/view.ts';
import type { PackLibrary } from '../packs/library.ts';
import { type Admission, admit } from './admission.ts';
import { type Clock, type EngineLog, systemClock } from './clock.ts';
import { accepting } from './dispatch-machine.ts';
import type { EngineObserver, TaskEngine, Uplink } from './engine.ts';
import { createExecutor } from './executor.ts';
import { type Filled, fillIn } from './fill-in.ts';
import type { GroupLog } from './journal/group-log.ts';
import { openJournal, sharedJournal } from './journal/journal.ts';
import { diskFs, type LogFs } from './journal/log-fs.ts';
import { encodeTask, type JournalRecord } from './journal/records.ts';
import { restore } from './restore.ts';
import { resultOf } from './results.ts';
import { isRunId, newRun, type Run } from './run.ts';

export interface TaskEngineDeps {
  readonly uplink: Uplink;
  readonly packs: Pick<PackLibrary, 'lookup'>;
  readonly log: EngineLog;
  /** What goes into parameters that name a property of the target. Default: its name. */
  readonly target?: () => Properties;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Where the journal is written; tests put a failing disk here. Default: the disk. */
  readonly fs?: LogFs;
  /**
   * For a benchmark with many engines in one process: they share this log and its syncs. Such an engine begins empty, reads
   * nothing back, and leaves the log open when it stops.
   */
  readonly sharedLog?: GroupLog;
  readonly observe?: EngineObserver | undefined;
}

export interface TaskEngineConfig {
  readonly dataDir: string;
  /** Of the agent's own event log. Default: in `dataDir`. */
  readonly eventsDirectory?: string;
  readonly agentName: string;
  /** Absolute paths of those that the machine has. */
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
  /** Patterns of "pack/task" that may run here, `*` for any characters. Default: everything. */
  readonly allow?: readonly string[];
  /** Default: any. */
  readonly maxRisk?: Risk | undefined;
  /** Processes at the same time. Default 8. */
  readonly concurrency?: number;
  /** Accepted tasks that wait. Default 256. */
  readonly queueLimit?: number;
  /** Output kept of one dispatch, bytes. Default and most: MAX_OUTPUT_BYTES. */
  readonly outputLimitBytes?: number;
  /** Output kept on disk of all dispatches together, bytes. Default 1 GiB. */
  readonly spoolLimitBytes?: number;
  /** Between TERM and KILL, milliseconds. Default 5 s. */
  readonly killGraceMs?: number;
  /** PATH of the processes. Default: the usual directories. */
  readonly path?: string;
  /** HOME of the processes. Default: that of the agent's user. */
  readonly home?: string;
  /** What the processes see. Default: what the agent itself does. */
  readonly view?: View;
  /** Of the work directories of the processes. Default: in `dataDir`. */
  readonly workRoot?: string;
  /** How often the journal is proved to be writable, milliseconds. Default 10 s. */
  readonly selfCheckMs?: number;
}

/** Parameters of all waiting tasks together; beyond it the queue counts as full. */
const QUEUED_PARAMETERS_BYTES = 64 * 1024 * 1024;
/** How long a task waits for a pack that is being fetched. */
const PACK_WAIT_MS = 30_000;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * @throws OpenlineError DATA_DIR_UNUSABLE
 */
export async function createTaskEngine(deps: TaskEngineDeps, config: TaskEngineConfig): Promise<TaskEngine> {
  const { packs, log } = deps;
  const clock = deps.clock ?? systemClock;
  const target = deps.target ?? (() => ({ name: config.agentName, labels: {}, facts: {} }));
  const room = { capacity: config.concurrency ?? 8, queueLimit: config.queueLimit ?? 256 };
  const policy = { allow: config.allow ?? ['*/*'], maxRisk: config.maxRisk, interpreters: config.interpreters };
  const view = config.view ?? viewOf('none', '', false);
  const spoolDir = join(config.dataDir, 'spool');
  const workRoot = config.workRoot ?? join(config.dataDir, 'work');
  const eventsDirectory = config.eventsDirectory ?? eventsDirectoryIn(config.dataDir);
  const journal =
    deps.sharedLog === undefined
      ? await openJournal(
          { fs: deps.fs ?? diskFs, clock, log, synced: deps.observe?.synced },
          {
            directory: join(config.dataDir, 'journal'),
            ...(config.selfCheckMs === undefined ? {} : { selfCheckMs: config.selfCheckMs }),
          },
        )
      : sharedJournal(deps.sharedLog);
  const executor = createExecutor(
    { clock, log, journal, uplink: deps.uplink, ended: deps.observe?.ended },
    {
      concurrency: room.capacity,
      spoolDir,
      spoolLimitBytes: config.spoolLimitBytes ?? 1024 * 1024 * 1024,
      selfCheckMs: config.selfCheckMs ?? 10_000,
      launch: {
        eventLog: createEventLog({ directory: eventsDirectory }, { unixMs: clock.unixMs }),
        eventsDirectory: ownSeenByTasks(view, eventsDirectory, process.pid),
        workRoot,
        agentName: config.agentName,
        interpreters: config.interpreters,
        path: config.path ?? DEFAULT_PATH,
        home: config.home ?? homedir(),
        view,
        outputLimitBytes: Math.min(config.outputLimitBytes ?? MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES),
        killGraceMs: config.killGraceMs ?? 5_000,
      },
    },
  );
  let stopping = false;
  if (deps.sharedLog === undefined) {
    const waiting = await restore(
      { clock, log, journal, executor },
      { spoolDir, workRoot, killGraceMs: config.killGraceMs ?? 5_000, agentName: config.agentName },
    );
    if (waiting.length > 0) executor.holdUntilSession();
    for (const { run, task } of waiting) resume(run, task);
  }

  function offerOne({ task, misfit }: Filled): void {
    const nowMs = clock.nowMs();
    const acceptedUnixMs = clock.unixMs();
    if (!isRunId(task.runId)) {
      // Not remembered: such an id can name no file, so nothing was or will be started under it.
      const facts = { startedUnixMs: 0, outputBytes: 0, droppedBytes: 0, outputFault: '' };
      executor.say(
        resultOf(
          { end: 'rejected', code: 'PROTOCOL_VIOLATION', reason: 'the id of the run is not one' },
          { ...facts, runId: task.runId, acceptedUnixMs, endedUnixMs: acceptedUnixMs },
        ),
      );
      return;
    }
    if (executor.repeat(task.runId)) return;

    const ttlMs = Math.min(Number(task.expiresInMs), MAX_TTL_MS);
    const fields = { id: task.runId, task, acceptedUnixMs, expiresAtMs: nowMs + ttlMs };
    const refuse = (code: ErrorCode, reason: string, end: 'rejected' | 'expired' = 'rejected') => {
      const state = { kind: 'ended', ending: { end, code, reason } } as const;
      executor.refuse(newRun({ ...fields, task: undefined, state }));
    };
    if (ttlMs <= 0) {
      refuse('TTL_EXPIRED', 'its time to live was over when it came', 'expired');
      return;
    }
    const found = misfit ?? lookUp(task);
    if (found.kind === 'refused') {
      refuse(found.code, found.reason);
      return;
    }
    if (found.kind === 'admitted' && isPing(found.work)) {
      executor.answer(newRun({ ...fields, state: accepting(true) }));
      return;
    }
    // Both together, as Hello says: what waits for its pack, or for the first session, takes no slot yet.
    const full =
      executor.running() + executor.waiting() >= room.capacity + room.queueLimit ||
      executor.waitingBytes() + task.parametersJson.length > QUEUED_PARAMETERS_BYTES;
    const holdsSlot = found.kind === 'admitted' && executor.reserve();
    if (full && !holdsSlot) {
      const reason = `${executor.running()} tasks run on this agent and ${executor.waiting()} wait`;
      refuse('QUEUE_FULL', reason);
      return;
    }
    const run = newRun({
      ...fields,
      state: accepting(holdsSlot),
      holdsSlot,
      work: found.kind === 'admitted' ? found.work : undefined,
    });
    const records: JournalRecord[] = [
      { t: 'accepted', run: run.id, at: acceptedUnixMs, expires: acceptedUnixMs + ttlMs, task: encodeTask(task) },
    ];
    executor.accept(run, records, (durable) => {
      if (durable && found.kind === 'pending') void waitForPack(run, task, found.settled);
    });
  }

  /** A dispatch that an earlier process accepted and certainly never started. */
  function resume(run: Run, task: Task): void {
    const found = lookUp(task);
    switch (found.kind) {
      case 'refused':
        executor.apply(run, { kind: 'refused', code: found.code, reason: found.reason });
        break;
      case 'admitted':
        run.work = found.work;
        executor.apply(run, { kind: 'packReady' });
        break;
      case 'pending':
        void waitForPack(run, task, found.settled);
        break;
      default:
        found satisfies never;
    }
  }

  type Found =
    | { kind: 'admitted'; work: NonNullable<Run['work']> }
    | { kind: 'pending'; settled: Promise<void> }
    | Extract<Admission, { kind: 'refused' }>;

  function lookUp(task: Task): Found {
    const found = packs.lookup(task.packDigest, task.taskName);
    switch (found.kind) {
      case 'absent':
        return { kind: 'refused', code: found.code, reason: found.reason };
      case 'pending':
        return found;
      case 'ready': {
        const admission = admit(task, found.ready, policy);
        if (admission.kind === 'refused') return admission;
        return { kind: 'admitted', work: { ready: found.ready, parameters: admission.parameters } };
      }
      default:
        return found satisfies never;
    }
  }

  /** Without a slot, so that tasks whose pack is here are not held up. */
  async function waitForPack(run: Run, task: Task, settled: Promise<void>): Promise<void> {
    const giveUpAtMs = Math.min(clock.nowMs() + PACK_WAIT_MS, run.expiresAtMs);
    let wait: Promise<void> | undefined = settled;
    while (wait !== undefined && run.state.kind === 'waiting' && !stopping) {
      await untilOr(wait, giveUpAtMs);
      if (run.state.kind !== 'waiting' || stopping) return;
      const found = lookUp(task);
      if (found.kind === 'refused') {
        executor.apply(run, { kind: 'refused', code: found.code, reason: found.reason });
      } else if (found.kind === 'admitted') {
        run.work = found.work;
        executor.apply(run, { kind: 'packReady' });
      } else if (clock.nowMs() >= giveUpAtMs) {
        const reason = `the pack ${task.packName} was still being fetched after ${PACK_WAIT_MS / 1_000} s`;
        executor.apply(run, { kind: 'refused', code: 'PACK_NOT_HELD', reason });
      }
      wait = found.kind === 'pending' ? found.settled : undefined;
    }
  }

  function untilOr(settled: Promise<void>, atMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(atMs - clock.nowMs(), resolve);
      const done = () => {
        timer.cancel();
        resolve();
      };
      settled.then(done, done);
    });
  }

  return {
    journalId: journal.id,
    openRunIds: executor.openRunIds,
    room,
    offer(tasks) {
      // What comes while the agent stops is not answered: the server offers it again to the next process.
      if (stopping) return;
      for (const task of tasks) offerOne(fillIn(task, target()));
    },
    cancel: executor.cancel,
    resultsCommitted: executor.resultsCommitted,
    outputCommitted: executor.outputCommitted,
    outputResend: executor.outputResend,
    sessionOpened: executor.sessionOpened,
    sessionClosed: executor.sessionClosed,
    sessionWritable: executor.sessionWritable,
    health: executor.health,
    async stop(reason) {
      stopping = true;
      await executor.stop(reason);
      await journal.close();
    },
  };
}

function isPing(work: NonNullable<Run['work']>): boolean {
  const { runner } = work.ready.task;
  return runner.kind === 'builtin' && runner.name === 'ping';
}
