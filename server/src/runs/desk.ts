import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import { type DispatchChange, FIRST_END, isEnd, mergeChanges, STATES, stateOf } from './dispatch.ts';
import type { RunHub } from './hub.ts';
import type { OutputChunk, RunStore } from './run-store.ts';

/**
 * Takes in what agents say of their dispatches, commits it in groups, and tells what is durable. Nothing is acknowledged to an agent
 * before it is.
 */
export interface DispatchDesk {
  /** @returns false where so much of what this agent said waits to be committed that this was not taken: it is to say it again later */
  change(change: DispatchChange): boolean;
  output(chunk: OutputChunk): void;
  /** A run was inserted with so many open dispatches. */
  opened(runId: string, open: number): void;
  /** The store ended or moved these itself. */
  changedInStore(rows: readonly { runId: string; agentId: string; state: number }[]): void;
  /** Ends every run whose last dispatch has ended, whatever the counters believe, and an earlier process whatever it left. */
  endRuns(): Promise<void>;
  /** Nothing is waiting to be committed. */
  idle(): Promise<void>;
  /** What the store last refused, if it still does. */
  fault(): string | undefined;
}

export interface DeskDeps {
  readonly store: RunStore;
  readonly hub: RunHub;
  readonly clock: Clock;
  /** These results are durable: their agents may forget them. */
  resultsDurable(acks: readonly { agentId: string; runId: string }[]): void;
  /** Output up to these positions is durable. @param bytes that were committed for that */
  outputDurable(acks: readonly { agentId: string; runId: string; committedBytes: number }[], bytes: number): void;
  onFault(what: string, error: unknown, pending: number): void;
  observeBatch?(kind: 'changes' | 'output', size: number, seconds: number): void;
  observeEnd?(state: string): void;
  /** A dispatch has ended, and that is committed: its agent has room for another. */
  ended?(runId: string, agentId: string): void;
  /** From the arrival of a result to its commit. */
  observeDurable?(seconds: number): void;
  observeOutput?(bytes: number, droppedBytes: number): void;
}

const OUTPUT_BATCH_BYTES = 4 * 1024 * 1024;
/** With more changes than this waiting to be committed, progress is not taken in any more. */
const PROGRESS_PENDING = 10_000;
/** Changes that one agent said and that wait to be committed. An agent has three for each task, and 264 tasks in hand unless it is told otherwise. */
const AGENT_PENDING = 10_000;

export function createDispatchDesk(deps: DeskDeps): DispatchDesk {
  const { store, hub, clock } = deps;
  /**
   * Open dispatches by open run: a hint that says when it pays to ask the store whether the run has ended. Never too high for long. Runs of an
   * earlier process are not in it before something of them ends.
   */
  const open = new Map<string, number>();
  /** Changes that wait, by the agents that said them. */
  const waitingOf = new Map<string, number>();
  /** Ends of runs that are being counted. */
  const endedMeanwhile = new Map<string, number>();
  let fault: string | undefined;

  const failed = (what: string) => (error: unknown, pending: number) => {
    fault = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    deps.onFault(what, error, pending);
  };
  const sleep = (ms: number) => clock.sleep(ms);

  async function close(runIds: readonly string[]): Promise<void> {
    const closed = new Set(await store.closeRuns(runIds, clock.now()));
    fault = undefined;
    for (const runId of runIds) {
      if (closed.has(runId)) open.delete(runId);
      hub.publish(runId, undefined);
    }
    // The counter was too low, or there was none: without a true one every end of such a run would ask.
    const uncounted = runIds.filter((runId) => !closed.has(runId) && (open.get(runId) ?? 0) <= 0);
    if (uncounted.length === 0) return;
    for (const runId of uncounted) endedMeanwhile.set(runId, 0);
    try {
      const counts = await store.openCounts(uncounted);
      // What ended meanwhile may be in the count, too: rather too low than too high.
      for (const [runId, count] of counts) open.set(runId, count - (endedMeanwhile.get(runId) ?? 0));
    } finally {
      for (const runId of uncounted) endedMeanwhile.delete(runId);
    }
  }

  function noteChanged(rows: readonly { runId: string; agentId: string; state: number }[]): void {
    const byRun = new Map<string, string[]>();
    const maybeEnded = new Set<string>();
    for (const { runId, agentId, state } of rows) {
      const agents = byRun.get(runId);
      if (agents === undefined) byRun.set(runId, [agentId]);
      else agents.push(agentId);
      if (state < FIRST_END) continue;
      deps.observeEnd?.(stateOf(state));
      deps.ended?.(runId, agentId);
      const counting = endedMeanwhile.get(runId);
      if (counting !== undefined) endedMeanwhile.set(runId, counting + 1);
      const left = (open.get(runId) ?? 0) - 1;
      if (open.has(runId)) open.set(runId, left);
      if (left <= 0) maybeEnded.add(runId);
    }
    for (const [runId, agentIds] of byRun) hub.publish(runId, agentIds);
    for (const runId of maybeEnded) endings.add(runId);
  }

  function noLongerWaits({ agentId, epoch }: DispatchChange): void {
    if (epoch === 0) return;
    const left = (waitingOf.get(agentId) ?? 0) - 1;
    if (left > 0) waitingOf.set(agentId, left);
    else waitingOf.delete(agentId);
  }

  const endings = createGroupCommit<string>({
    sleep,
    onFailure: failed('ending runs'),
    commit: (runIds) => close([...new Set(runIds)]),
  });

  const changes = createGroupCommit<{ change: DispatchChange; atMs: number }>({
    sleep,
    // The last ends of what runs do not wait for others.
    more: (waiting) => sum([...open.values()], (left) => left) > waiting,
    onFailure: failed('committing dispatch changes'),
    async commit(items) {
      const merged = new Map<string, DispatchChange>();
      for (const { change } of items) {
        const key = `${change.runId} ${change.agentId}`;
        const before = merged.get(key);
        merged.set(key, before === undefined ? change : mergeChanges(before, change));
      }
      const startedMs = clock.nowMs();
      const applied = await store.apply([...merged.values()]);
      fault = undefined;
      for (const { change } of items) noLongerWaits(change);
      const nowMs = clock.nowMs();
      deps.observeBatch?.('changes', merged.size, (nowMs - startedMs) / 1000);
      for (const { change, atMs } of items) if (isEnd(change.state)) deps.observeDurable?.((nowMs - atMs) / 1000);
      const acks = applied.map(({ change }) => change).filter(({ epoch, state }) => epoch > 0 && isEnd(state));
      if (acks.length > 0) deps.resultsDurable(acks);
      deps.observeOutput?.(
        0,
        sum([...merged.values()], (change) => change.outputDroppedBytes ?? 0),
      );
      noteChanged(
        applied
          .filter(({ taken }) => taken)
          .map(({ change: { runId, agentId, state } }) => ({ runId, agentId, state: STATES[state] })),
      );
    },
  });

  const output = createGroupCommit<OutputChunk>({
    sleep,
    onFailure: failed('storing output'),
    // A statement takes several times the memory of the bytes in it.
    weight: { of: ({ data }) => data.byteLength, most: OUTPUT_BATCH_BYTES },
    async commit(chunks) {
      const startedMs = clock.nowMs();
      await store.storeOutput(chunks);
      fault = undefined;
      deps.observeBatch?.('output', chunks.length, (clock.nowMs() - startedMs) / 1000);
      const bytes = sum(chunks, (chunk) => chunk.data.byteLength);
      deps.observeOutput?.(bytes, 0);
      const ends = new Map<string, { agentId: string; runId: string; committedBytes: number }>();
      for (const { runId, agentId, offset, data } of chunks) {
        ends.set(`${runId} ${agentId}`, { agentId, runId, committedBytes: offset + data.byteLength });
      }
      const acks = [...ends.values()];
      deps.outputDurable(acks, bytes);
      for (const { runId, agentId } of acks) hub.publish(runId, [agentId]);
    },
  });

  return {
    change(change) {
      // Agents say it every quarter of a second, and nobody needs what they said while the database was away.
      const onlyProgress = change.progressNote !== undefined && change.startedAt === undefined;
      if (onlyProgress && changes.pending() >= PROGRESS_PENDING) return true;
      if (change.epoch > 0) {
        const waiting = waitingOf.get(change.agentId) ?? 0;
        if (waiting >= AGENT_PENDING) return false;
        waitingOf.set(change.agentId, waiting + 1);
      }
      changes.add({ change, atMs: clock.nowMs() });
      return true;
    },
    output: (chunk) => output.add(chunk),
    opened(runId, count) {
      open.set(runId, count);
      if (count === 0) endings.add(runId);
    },
    changedInStore: noteChanged,
    async endRuns() {
      for (const runId of await store.unended()) endings.add(runId);
    },
    async idle() {
      await Promise.all([changes.idle(), output.idle()]);
      await endings.idle();
    },
    fault: () => fault,
  };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
