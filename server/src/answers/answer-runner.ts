import { OpenlineError } from '@openline/proto/errors';
import type { Pool } from 'pg';
import type { Principal } from '../access/access.ts';
import type { AlertDesk } from '../alerts/alerts.ts';
import type { Clock } from '../clock.ts';
import { createQuery } from '../db/query.ts';
import { isStoreUnavailable } from '../db/store-errors.ts';
import { inTransaction, type Tx } from '../db/transaction.ts';
import type { RunHub } from '../runs/hub.ts';
import type { RunService } from '../runs/run-service.ts';
import { type DiagnosticOutcome, following, judge, nameOf, principalOf, type StoredAnswer } from './answer.ts';
import {
  findRun,
  insertAnswers,
  lockAnswer,
  markEnded,
  markRunning,
  markStarting,
  readFacts,
  readReady,
} from './answer-store.ts';

export interface AnswerRunnerDeps {
  readonly pool: Pool;
  readonly runs: Pick<RunService, 'submit' | 'get' | 'readOutput'>;
  /** Tells of the ends of runs. */
  readonly hub: Pick<RunHub, 'subscribe'>;
  readonly alerts: Pick<AlertDesk, 'note'>;
  readonly clock: Clock;
  newId(): string;
  onFailure(error: unknown, answer: StoredAnswer | undefined): void;
  /** A task was started, has ended, or was not started. */
  observe(kind: StoredAnswer['kind'], outcome: string): void;
}

export interface AnswerRunner {
  /** There is something to do. */
  kick(): void;
  /** Nothing that could go on now is left. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

/** What nobody rang for (a run that another replica ended) is seen after this. */
const SWEEP_MS = 5_000;
const BATCH = 200;
/** Agents whose answers go on at the same time. */
const LANES = 8;
/** A task that is to heal does not wait for an agent that has gone: when it is back, its monitors tell how it is. */
const TTL_MS = 5 * 60_000;
const OUTPUT_BYTES = 64 * 1024;
const OUTPUT_WAIT_MS = 10_000;

/**
 * Takes the answers from step to step. Each step is one transaction, and what is between two of them is safe to do again: a run is submitted
 * with the answer's id as its key. So it goes on where any process left off.
 */
export function startAnswerRunner(deps: AnswerRunnerDeps): AnswerRunner {
  const { pool, runs, alerts, clock, newId } = deps;
  const query = createQuery(pool);
  const stopping = new AbortController();
  const subscriptions = new Set<() => void>();
  let wanted = true;
  let wake = new AbortController();
  const idlers: (() => void)[] = [];

  function kick(): void {
    wanted = true;
    wake.abort();
  }

  const note = (tx: Tx, answer: StoredAnswer, comment: string) =>
    answer.alertId === undefined
      ? Promise.resolve()
      : alerts.note([{ alertId: answer.alertId, by: principalOf(answer), comment }], tx);

  /** Does the next step. @returns whether it made one */
  async function step(answer: StoredAnswer): Promise<boolean> {
    switch (answer.state) {
      case 'choosing':
      case 'due':
        return decide(answer);
      case 'starting':
        return submit(answer);
      case 'running':
        return conclude(answer);
      case 'ended':
      case 'skipped':
        return false;
      default:
        return answer.state satisfies never;
    }
  }

  function decide(given: StoredAnswer): Promise<boolean> {
    return inTransaction(pool, async (tx) => {
      const answer = await lockAnswer(tx, given);
      if (answer === undefined) return false;
      const now = clock.now();
      const verdict = judge(answer, await readFacts(tx, answer, now));
      if (verdict.kind === 'start') await markStarting(tx, answer.id, verdict.run, now);
      else await skip(tx, answer, verdict.why);
      return true;
    });
  }

  async function skip(tx: Tx, answer: StoredAnswer, why: string): Promise<void> {
    await markEnded(tx, answer.id, 'skipped', why, clock.now());
    await note(tx, answer, `${nameOf(answer)}${taskOf(answer)} was not run: ${why}`);
    tx.afterCommit(() => deps.observe(answer.kind, 'skipped'));
  }

  async function submit(given: StoredAnswer): Promise<boolean> {
    const submitted = await submitRun(given);
    return inTransaction(pool, async (tx) => {
      const answer = await lockAnswer(tx, given);
      if (answer === undefined) return false;
      if (submitted.kind === 'refused') {
        await skip(tx, answer, submitted.why);
        return true;
      }
      const { runId } = submitted;
      await markRunning(tx, answer.id, runId);
      await note(tx, answer, `${nameOf(answer)}${taskOf(answer)} was started as run ${runId}`);
      tx.afterCommit(() => kickAtEndOf(runId));
      return true;
    });
  }

  async function submitRun(
    answer: StoredAnswer,
  ): Promise<{ kind: 'run'; runId: string } | { kind: 'refused'; why: string }> {
    const name = principalOf(answer);
    const by: Principal = { id: name, name, role: 'operator' };
    const idempotencyKey = `answer ${answer.id}`;
    // Of an attempt that died before it was noted; the pack may be another one by now, and the same key would not fit.
    const before = await findRun(query, by.id, idempotencyKey);
    if (before !== undefined) return { kind: 'run', runId: before };
    const spec = {
      task: answer.run?.task ?? '',
      targets: `id=${answer.agentId}`,
      parameters: JSON.parse(answer.run?.parametersJson || '{}'),
      timeoutMs: undefined,
      ttlMs: TTL_MS,
      offline: 'wait' as const,
    };
    try {
      const { run } = await runs.submit(by, spec, { idempotencyKey });
      return { kind: 'run', runId: run.id };
    } catch (error) {
      if (!(error instanceof OpenlineError) || isStoreUnavailable(error)) throw error;
      return { kind: 'refused', why: `[${error.code}] ${error.message}` };
    }
  }

  async function conclude(given: StoredAnswer): Promise<boolean> {
    const outcome = await outcomeOf(given);
    if (outcome === undefined) return false;
    return inTransaction(pool, async (tx) => {
      const answer = await lockAnswer(tx, given);
      if (answer === undefined) return false;
      const { state, exitCode, reason } = outcome;
      const why = exitCode === undefined || exitCode === 0 ? reason : `exit code ${exitCode}`;
      const how = `${state.replace('_', ' ')}${why === '' ? '' : ` (${why})`}`;
      await markEnded(tx, answer.id, 'ended', how, clock.now());
      await note(tx, answer, `${nameOf(answer)}${taskOf(answer)} has ended: ${how}`);
      const next = following(answer, outcome, newId());
      if (next !== undefined) await insertAnswers(tx, [next], clock.now());
      tx.afterCommit(() => {
        deps.observe(answer.kind, state);
        if (next !== undefined) kick();
      });
      return true;
    });
  }

  /** @returns undefined while the run goes on */
  async function outcomeOf({
    runId = '',
    kind,
    choice,
  }: StoredAnswer): Promise<(DiagnosticOutcome & { reason: string }) | undefined> {
    try {
      const { run, dispatches } = await runs.get(runId);
      if (run.endedAt === undefined) return undefined;
      const [dispatch] = dispatches;
      const wantsOutput = kind === 'diagnostic' && choice !== undefined && dispatch !== undefined;
      return {
        state: dispatch?.state ?? 'unknown',
        exitCode: dispatch?.exitCode,
        reason: dispatch?.reason ?? '',
        output: wantsOutput ? await outputOf(runId, dispatch.agentId) : '',
      };
    } catch (error) {
      if (error instanceof OpenlineError && error.code === 'RUN_UNKNOWN') {
        return { state: 'unknown', exitCode: undefined, reason: 'its history was groomed', output: '' };
      }
      throw error;
    }
  }

  /** As much of it as is kept for the choice; it may come a moment after the result. */
  async function outputOf(runId: string, agentId: string): Promise<string> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(OUTPUT_WAIT_MS)]);
    const parts: Buffer[] = [];
    let bytes = 0;
    const wanted = { runId, agentIds: [agentId], follow: true, fromOffset: 0 };
    for await (const { stream, data } of runs.readOutput(wanted, signal)) {
      if (stream === 'stdout') parts.push(data);
      bytes += data.length;
      if (bytes >= OUTPUT_BYTES) break;
    }
    return Buffer.concat(parts).subarray(0, OUTPUT_BYTES).toString('utf8');
  }

  /** What another process, or an earlier one, started is seen by the sweep. */
  function kickAtEndOf(runId: string): void {
    const unsubscribe = deps.hub.subscribe(runId, (agentIds) => {
      if (agentIds !== undefined) return;
      subscriptions.delete(unsubscribe);
      unsubscribe();
      kick();
    });
    subscriptions.add(unsubscribe);
    // It may have ended in between.
    kick();
  }

  /** One agent's answers one after the other. @returns whether any made a step */
  async function goOn(answers: readonly StoredAnswer[]): Promise<boolean> {
    let moved = false;
    for (const answer of answers) {
      if (stopping.signal.aborted) break;
      try {
        moved = (await step(answer)) || moved;
      } catch (error) {
        deps.onFailure(error, answer);
      }
    }
    return moved;
  }

  async function round(): Promise<boolean> {
    const ready = await readReady(query, BATCH);
    const byAgent = new Map<string, StoredAnswer[]>();
    for (const answer of ready) byAgent.set(answer.agentId, [...(byAgent.get(answer.agentId) ?? []), answer]);
    const turns = byAgent.values();
    let moved = false;
    const lane = async () => {
      for (const answers of turns) moved = (await goOn(answers)) || moved;
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    return moved;
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      wanted = false;
      wake = new AbortController();
      try {
        if (await round()) continue;
      } catch (error) {
        deps.onFailure(error, undefined);
      }
      if (wanted) continue;
      for (const resolve of idlers.splice(0)) resolve();
      await clock.sleep(SWEEP_MS, AbortSignal.any([wake.signal, stopping.signal]));
    }
    for (const resolve of idlers.splice(0)) resolve();
  })();

  return {
    kick,
    idle() {
      const idle = new Promise<void>((resolve) => idlers.push(resolve));
      kick();
      return idle;
    },
    async stop() {
      stopping.abort();
      for (const unsubscribe of subscriptions) unsubscribe();
      await running;
    },
  };
}

function taskOf({ run }: StoredAnswer): string {
  return run === undefined ? '' : ` ${run.task}`;
}
