import type { TaskResult } from '@openline/proto/agent';
import { MAX_TTL_MS } from '@openline/proto/limits';
import type { Clock, EngineLog, Timer } from './clock.ts';
import { type Input, type Stop, step } from './dispatch-machine.ts';
import type { EngineObserver, ExecutorHealth, TaskEngine, Uplink } from './engine.ts';
import { filledIn } from './fill-in.ts';
import type { Journal } from './journal/journal.ts';
import { encodeResult, type JournalRecord } from './journal/records.ts';
import { createMemory, type Memory, REMEMBER_AFTER_EXPIRY_MS } from './memory.ts';
import { createOutputs, type Outputs } from './output/outputs.ts';
import { createReporter } from './reporter.ts';
import { resultOf } from './results.ts';
import { isRunId, journalRunOf, newRun, type Run } from './run.ts';
import { createStarter, type StarterConfig, sayStarted } from './starter.ts';
import { createWaitingRoom } from './waiting-room.ts';

/** Drives every dispatch through its state machine: performs the actions, feeds back what came of them. */
export interface Executor
  extends Pick<
    TaskEngine,
    | 'openRunIds'
    | 'cancel'
    | 'resultsCommitted'
    | 'outputCommitted'
    | 'outputResend'
    | 'sessionOpened'
    | 'sessionClosed'
    | 'sessionWritable'
    | 'health'
  > {
  apply(run: Run, input: Input): void;
  /** Takes a slot when one is free and nothing waits for it. */
  reserve(): boolean;
  /** Journals it, then begins its life. `then` is told whether that worked. */
  accept(run: Run, records: readonly JournalRecord[], then: (durable: boolean) => void): void;
  /** A built-in that has no effect: its acceptance, start and result are one record, one sync and one message. */
  answer(run: Run): void;
  /** It ended before it was accepted. */
  refuse(run: Run): void;
  say(result: TaskResult): void;
  /** @returns whether the id is known; then what is known of it is said again */
  repeat(runId: string): boolean;
  waiting(): number;
  waitingBytes(): number;
  running(): number;
  readonly memory: Memory;
  readonly outputs: Outputs;
  /** A dispatch of an earlier process. */
  adopt(run: Run): void;
  /** Starts nothing of what waits before the server could cancel it: until a moment after the next session opens, or 30 s. */
  holdUntilSession(): void;
  stop(reason: string): Promise<void>;
}

export interface ExecutorDeps {
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly journal: Journal;
  readonly uplink: Uplink;
  readonly ended?: EngineObserver['ended'] | undefined;
}

export interface ExecutorConfig {
  readonly concurrency: number;
  readonly spoolDir: string;
  readonly spoolLimitBytes: number;
  readonly selfCheckMs: number;
  readonly launch: StarterConfig;
}

const HOLD_MS = 30_000;
const HOLD_AFTER_SESSION_MS = 1_000;

export function createExecutor(deps: ExecutorDeps, config: ExecutorConfig): Executor {
  const { clock, log, journal, uplink } = deps;
  const runs = new Map<string, Run>();
  const outputs = createOutputs(uplink, { directory: config.spoolDir, limitBytes: config.spoolLimitBytes });
  const reporter = createReporter((reports) => uplink.reports(reports));
  const memory = createMemory(clock, outputs.remove);
  const starter = createStarter({ clock, journal, outputs, reporter, apply }, config.launch);
  const room = createWaitingRoom(clock, (run) =>
    apply(run, {
      kind: 'stop',
      stop: { end: 'expired', code: 'TTL_EXPIRED', reason: 'it waited beyond its time to live' },
    }),
  );
  let slotsTaken = 0;
  let unsaid = 0;
  let stopping = false;
  let held = false;
  let becameIdle: (() => void) | undefined;
  let holdTimer: Timer | undefined;

  journal.follow(function* () {
    const offsetMs = clock.unixMs() - clock.nowMs();
    for (const run of runs.values()) {
      if (run.durable) yield journalRunOf(run, (atMs) => Math.round(atMs + offsetMs));
    }
    for (const [runId, untilMs] of memory.entries()) {
      const forgetUnixMs = Math.round(untilMs + offsetMs);
      const nothing = { task: undefined, process: undefined, result: undefined };
      yield { runId, acceptedUnixMs: 0, expiresUnixMs: 0, startedUnixMs: 0, ...nothing, forgetUnixMs };
    }
  });

  function apply(run: Run, input: Input): void {
    const [state, actions] = step(run.state, input);
    run.state = state;
    for (const action of actions) {
      switch (action) {
        case 'sayAccepted':
          run.durable = true;
          sayAccepted(run, state.kind === 'waiting' && !hasFreeSlot() ? room.queued() + 1 : 0);
          break;
        case 'enqueue':
          room.enqueue(run);
          startQueued();
          break;
        case 'journalStart':
          journalStart(run);
          break;
        case 'launch':
          starter.launch(run);
          break;
        case 'kill':
          run.launch?.stop();
          break;
        case 'finish':
          finish(run);
          break;
        case 'forget':
          forget(run);
          break;
        default:
          action satisfies never;
      }
    }
  }

  function sayAccepted(run: Run, queuePosition: number): void {
    reporter.accepted({ runId: run.id, atUnixMs: wholeMs(run.acceptedUnixMs), queuePosition });
  }

  /** For one more, after those that are waiting. */
  function hasFreeSlot(): boolean {
    return slotsTaken + room.queued() < config.concurrency;
  }

  function startQueued(): void {
    while (!held && !stopping && slotsTaken < config.concurrency) {
      const run = room.next();
      if (run === undefined) return;
      takeSlot(run);
      apply(run, { kind: 'slot' });
    }
  }

  function takeSlot(run: Run): void {
    slotsTaken += 1;
    run.holdsSlot = true;
  }

  function startedRecord(run: Run): JournalRecord {
    run.journalledStartUnixMs = Math.max(1, clock.unixMs());
    return { t: 'started', run: run.id, at: run.journalledStartUnixMs };
  }

  function journalStart(run: Run): void {
    starter.prepare(run);
    journal.append([startedRecord(run)], 'synced', (error) =>
      apply(run, error === undefined ? { kind: 'startJournalled' } : journalFailed(error)),
    );
  }

  function finish(run: Run): void {
    if (run.state.kind !== 'ended') return;
    room.leave(run);
    run.timeout?.cancel();
    if (!run.launched) run.launch?.discard();
    if (run.holdsSlot) {
      run.holdsSlot = false;
      slotsTaken -= 1;
    }
    run.durable = true;
    const parametersFrom = run.startedUnixMs > 0 ? filledIn(run.task) : {};
    run.task = undefined;
    run.work = undefined;
    run.launch = undefined;
    if (run.spool !== undefined) outputs.complete(run.id);
    deps.ended?.(run.state.ending.end);
    if (run.result !== undefined) {
      reporter.result(run.result);
    } else {
      const result = resultOf(run.state.ending, {
        runId: run.id,
        acceptedUnixMs: run.acceptedUnixMs,
        startedUnixMs: run.startedUnixMs,
        endedUnixMs: clock.unixMs(),
        outputBytes: run.spool?.keptBytes() ?? 0,
        droppedBytes: run.spool?.droppedBytes() ?? 0,
        outputFault: run.spool?.fault() ?? '',
        view: run.view,
        parametersFrom,
      });
      run.result = result;
      unsaid += 1;
      // Said also when the disk refuses: it is held in memory then, and written when the disk takes it.
      journal.append([endedRecord(run, result)], 'written', () => {
        unsaid -= 1;
        reporter.result(result);
        tellIdle();
      });
    }
    startQueued();
    tellIdle();
  }

  /** A cancel may overtake its task, which must not start when it comes. */
  function cancelUnseen(runId: string, reason: string): void {
    if (stopping || memory.has(runId) || !isRunId(runId)) return;
    const ending = { end: 'cancelled', code: 'TASK_CANCELLED', reason } as const;
    const times = { acceptedUnixMs: clock.unixMs(), expiresAtMs: clock.nowMs() + MAX_TTL_MS };
    refuse(newRun({ id: runId, task: undefined, state: { kind: 'ended', ending }, ...times }));
  }

  function refuse(run: Run): void {
    runs.set(run.id, run);
    finish(run);
  }

  function endedRecord(run: Run, result: TaskResult): JournalRecord {
    const expires = Math.round(run.expiresAtMs - clock.nowMs() + clock.unixMs());
    return { t: 'ended', run: run.id, expires, result: encodeResult(result) };
  }

  function forget(run: Run): void {
    const untilMs = Math.max(run.expiresAtMs, clock.nowMs()) + REMEMBER_AFTER_EXPIRY_MS;
    runs.delete(run.id);
    memory.remember(run.id, untilMs);
    const forgetUnixMs = Math.round(untilMs - clock.nowMs() + clock.unixMs());
    journal.append([{ t: 'committed', run: run.id, forget: forgetUnixMs }], 'written');
    outputs.resultCommitted(run.id);
  }

  function repeat(run: Run): void {
    if (!run.durable) return;
    const { kind } = run.state;
    if (kind === 'waiting') sayAccepted(run, room.positionOf(run) ?? room.queued() + 1);
    if (kind === 'starting' || kind === 'running') sayAccepted(run, 0);
    if (kind === 'running' && run.startedUnixMs > 0) sayStarted(reporter, run);
    if (kind === 'ended' && run.result !== undefined) reporter.result(run.result);
  }

  const isActive = ({ state, holdsSlot }: Run) =>
    state.kind === 'running' || state.kind === 'starting' || (state.kind === 'accepting' && holdsSlot);

  function tellIdle(): void {
    if (becameIdle === undefined || unsaid > 0 || [...runs.values()].some(isActive)) return;
    becameIdle();
  }

  function hold(forMs: number): void {
    holdTimer?.cancel();
    holdTimer = clock.after(forMs, () => {
      held = false;
      startQueued();
    });
  }

  function fault(): string {
    if (journal.fault() !== '') return journal.fault();
    const silentMs = clock.nowMs() - journal.lastSyncedMs();
    if (silentMs > 3 * config.selfCheckMs)
      return `journal: the disk has not answered for ${Math.round(silentMs / 1_000)} s`;
    return '';
  }

  return {
    apply,
    memory,
    outputs,
    reserve() {
      if (held || stopping || room.queued() > 0 || slotsTaken >= config.concurrency) return false;
      slotsTaken += 1;
      return true;
    },
    accept(run, records, then) {
      runs.set(run.id, run);
      if (run.holdsSlot) starter.prepare(run);
      else room.enter(run);
      journal.append(run.holdsSlot ? [...records, startedRecord(run)] : records, 'synced', (error) => {
        if (error === undefined && run.holdsSlot && clock.nowMs() >= run.expiresAtMs) {
          const reason = 'the disk took its acceptance only after its time to live';
          apply(run, { kind: 'stop', stop: { end: 'expired', code: 'TTL_EXPIRED', reason } });
        }
        apply(
          run,
          error === undefined ? { kind: 'accepted', waitsFor: run.work ? 'slot' : 'pack' } : journalFailed(error),
        );
        then(error === undefined);
      });
    },
    answer(run) {
      runs.set(run.id, run);
      const atUnixMs = run.acceptedUnixMs;
      run.startedUnixMs = atUnixMs;
      const rest = { outputBytes: 0, droppedBytes: 0, outputFault: '', parametersFrom: filledIn(run.task) };
      const times = { acceptedUnixMs: atUnixMs, startedUnixMs: atUnixMs, endedUnixMs: atUnixMs };
      const result = resultOf({ end: 'succeeded', code: '', reason: '' }, { runId: run.id, ...times, ...rest });
      run.result = result;
      journal.append([endedRecord(run, result)], 'synced', (error) => {
        if (error !== undefined) {
          run.result = undefined;
          run.startedUnixMs = 0;
        }
        apply(run, error === undefined ? { kind: 'accepted', waitsFor: 'slot' } : journalFailed(error));
      });
    },
    refuse,
    say: reporter.result,
    repeat(runId) {
      const run = runs.get(runId);
      if (run !== undefined) repeat(run);
      else if (memory.has(runId)) reporter.result(forgotten(runId, clock.unixMs()));
      else return false;
      return true;
    },
    waiting: room.size,
    waitingBytes: room.bytes,
    running: () => slotsTaken,
    adopt(run) {
      runs.set(run.id, run);
      if (run.state.kind === 'waiting') room.enter(run);
      if (run.state.kind !== 'ended') return;
      if (run.result === undefined) finish(run);
      else outputs.complete(run.id);
    },
    holdUntilSession() {
      held = true;
      hold(HOLD_MS);
    },
    openRunIds: () => [...runs.values()].filter((run) => run.durable).map((run) => run.id),
    cancel(runIds, reason) {
      for (const runId of runIds) {
        const run = runs.get(runId);
        if (run === undefined) cancelUnseen(runId, reason);
        if (run === undefined || run.result !== undefined) continue;
        apply(run, { kind: 'stop', stop: { end: 'cancelled', code: 'TASK_CANCELLED', reason } });
      }
    },
    resultsCommitted(runIds) {
      for (const runId of runIds) {
        const run = runs.get(runId);
        if (run !== undefined) apply(run, { kind: 'committed' });
      }
    },
    outputCommitted: outputs.committed,
    outputResend: outputs.resend,
    sessionOpened(outputWindowBytes) {
      for (const run of runs.values()) repeat(run);
      outputs.opened(outputWindowBytes);
      if (held) hold(HOLD_AFTER_SESSION_MS);
    },
    sessionClosed: outputs.closed,
    sessionWritable: outputs.writable,
    health(): ExecutorHealth {
      let spooledResults = 0;
      for (const run of runs.values()) if (run.state.kind === 'ended') spooledResults += 1;
      return {
        running: slotsTaken,
        queued: room.size(),
        capacity: config.concurrency,
        spooledResults,
        spooledOutputBytes: BigInt(outputs.pendingBytes()),
        executorCheckedMsAgo: Math.max(0, Math.round(clock.nowMs() - journal.lastSyncedMs())),
        fault: fault(),
      };
    },
    async stop(reason) {
      stopping = true;
      const stop: Stop = { end: 'failed', code: 'AGENT_STOPPED', reason: `the agent stopped: ${reason}` };
      const idle = new Promise<void>((resolve) => {
        becameIdle = resolve;
      });
      // What waits stays in the journal: the next process may start it.
      for (const run of [...runs.values()].filter(isActive)) apply(run, { kind: 'stop', stop });
      tellIdle();
      await idle;
      reporter.flush();
      outputs.closed();
      room.close();
      holdTimer?.cancel();
      await outputs.release();
      log.info({ waiting: room.size() }, 'the task engine stopped');
    },
  };
}

const wholeMs = (ms: number): bigint => BigInt(Math.trunc(ms));

function journalFailed(error: Error): Input {
  return { kind: 'journalFailed', reason: `the agent could not write its journal: ${error.message}` };
}

function forgotten(runId: string, nowUnixMs: number): TaskResult {
  return resultOf(
    { end: 'lost', code: 'RESULT_FORGOTTEN', reason: 'it ended earlier, and its result was committed and forgotten' },
    {
      runId,
      acceptedUnixMs: 0,
      startedUnixMs: 0,
      endedUnixMs: nowUnixMs,
      outputBytes: 0,
      droppedBytes: 0,
      outputFault: '',
    },
  );
}
