import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Task } from '@openline/proto/agent';
import { MAX_TTL_MS } from '@openline/proto/limits';
import type { Clock, EngineLog } from './clock.ts';
import type { Executor } from './executor.ts';
import type { Journal } from './journal/journal.ts';
import type { JournalRun } from './journal/replay.ts';
import { REMEMBER_AFTER_EXPIRY_MS } from './memory.ts';
import { measureSpool, type OutputSpool } from './output/spool.ts';
import { orphanedGroups, signalGroup } from './process/groups.ts';
import { isRunId, newRun, type Run } from './run.ts';

export interface RestoreDeps {
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly journal: Journal;
  readonly executor: Executor;
}

/**
 * Takes up what an earlier process left: ends what it started as lost (and stops what still runs of it), owes results and output on.
 * @returns what was accepted and never started: it may start now
 */
export async function restore(
  { clock, log, journal, executor }: RestoreDeps,
  config: { spoolDir: string; workRoot: string; killGraceMs: number; agentName: string },
): Promise<{ run: Run; task: Task }[]> {
  const stillRan = new Set<string>();
  for (const { runId, process } of journal.orphans) {
    const marks = { OPENLINE_RUN_ID: runId, OPENLINE_AGENT_NAME: config.agentName };
    const groups = await orphanedGroups(marks, process);
    for (const pgid of groups) {
      signalGroup(pgid, 'SIGTERM');
      clock.after(config.killGraceMs, () => signalGroup(pgid, 'SIGKILL'));
    }
    if (groups.length > 0) stillRan.add(runId);
    log.warn({ runId, groups }, 'a task was running when the agent died');
  }
  await rm(config.workRoot, { recursive: true, force: true }).catch((error: Error) =>
    // A task may have mounted something there.
    log.warn({ path: config.workRoot, error: error.message }, 'what tasks left behind cannot be removed'),
  );
  await mkdir(config.spoolDir, { recursive: true, mode: 0o700 });
  const spools = await openSpools(config.spoolDir, executor, log);
  const waiting: { run: Run; task: Task }[] = [];
  for (const old of journal.restored) {
    const spool = spools.get(old.runId);
    spools.delete(old.runId);
    if (old.forgetUnixMs > 0) {
      // At least one TTL margin from now, whatever the wall clock did meanwhile.
      const leftMs = clamp(
        old.forgetUnixMs - clock.unixMs(),
        REMEMBER_AFTER_EXPIRY_MS,
        MAX_TTL_MS + REMEMBER_AFTER_EXPIRY_MS,
      );
      executor.memory.remember(old.runId, clock.nowMs() + leftMs);
      executor.outputs.complete(old.runId);
      executor.outputs.resultCommitted(old.runId);
      continue;
    }
    const run = runOf(old, spool, stillRan.has(old.runId), clock);
    if (run.task !== undefined && run.state.kind === 'waiting') waiting.push({ run, task: run.task });
    executor.adopt(run);
  }
  for (const runId of spools.keys()) executor.outputs.remove(runId);
  return waiting;
}

function runOf(old: JournalRun, spool: OutputSpool | undefined, stillRan: boolean, clock: Clock): Run {
  const ttlMs = Math.max(0, old.expiresUnixMs - old.acceptedUnixMs);
  const fields = {
    id: old.runId,
    acceptedUnixMs: old.acceptedUnixMs,
    // A wall clock that was set back must not lengthen a time to live.
    expiresAtMs: clock.nowMs() + clamp(old.expiresUnixMs - clock.unixMs(), 0, Math.min(ttlMs, MAX_TTL_MS)),
    durable: true,
    journalledStartUnixMs: old.startedUnixMs,
    startedUnixMs: old.startedUnixMs,
    process: old.process,
    spool,
  };
  if (old.result !== undefined) {
    return newRun({ ...fields, task: undefined, state: endedState(), result: fitted(old.result, spool) });
  }
  if (old.startedUnixMs > 0 || old.task === undefined) {
    const rest = stillRan ? '; it still ran when the agent came back, and was stopped' : '';
    return newRun({ ...fields, task: old.task, state: endedState(`the agent died while it ran${rest}`) });
  }
  return newRun({ ...fields, task: old.task, state: { kind: 'waiting', for: 'pack' } });
}

/** Of an ended dispatch only the result is said, so its ending matters only when it is lost. */
function endedState(reason = ''): Run['state'] {
  return { kind: 'ended', ending: { end: 'lost', code: 'AGENT_RESTARTED', reason } };
}

/** A power cut may have taken output that the result still promises. */
function fitted(result: NonNullable<JournalRun['result']>, spool: OutputSpool | undefined) {
  const keptBytes = BigInt(spool?.keptBytes() ?? 0);
  const missing = result.outputBytes - keptBytes;
  if (missing <= 0n) return result;
  return { ...result, outputBytes: keptBytes, outputDroppedBytes: result.outputDroppedBytes + missing };
}

/** One that cannot be read is no reason not to start: its output is told as dropped. */
async function openSpools(directory: string, executor: Executor, log: EngineLog): Promise<Map<string, OutputSpool>> {
  const spools = new Map<string, OutputSpool>();
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    try {
      if (isRunId(name)) spools.set(name, executor.outputs.open(name, measureSpool(await readFile(path))));
      else await rm(path, { recursive: true, force: true });
    } catch (error) {
      log.error({ path, error: error instanceof Error ? error.message : String(error) }, 'kept output is given up');
    }
  }
  return spools;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
