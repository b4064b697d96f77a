import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import type { Place } from '../runs/dispatch.ts';
import type { Owed, OwedStore } from '../runs/owed-store.ts';
import type { Load } from './load.ts';

/** An agent's session, as the pacing sees it. */
export interface Paced {
  readonly load: Load;
  /** Bytes that the agent has not read. */
  readonly queuedBytes: number;
}

/** Gives no agent more than it has room for: what is more stays queued in the store until results make room. */
export interface Pacer {
  reserve(runId: string, agentId: string, parameterBytes: number): Place;
  /** Something is queued for this agent. */
  waiting(agentId: string): void;
  /** What this agent has from before is known now. */
  settled(agentId: string): void;
  /** A dispatch has ended, and that is committed. */
  ended(runId: string, agentId: string): void;
  /** The agent is gone. */
  forget(agentId: string): void;
  tick(): void;
  stop(): void;
}

export interface PacerDeps {
  readonly store: Pick<OwedStore, 'takeQueued'>;
  readonly clock: Clock;
  /** The session of the agent that is ready. */
  ready(agentId: string): Paced | undefined;
  /** Never rejects. */
  handOver(owed: readonly Owed[]): Promise<void>;
  onFailure(error: unknown, pending: number): void;
}

/** One statement: some ten thousand rows at most, so that nobody waits for it for long. */
const AGENTS_AT_ONCE = 100;
const RUNS_AT_ONCE = 100;
const MIB = 1024 * 1024;
/** Parameters of one run are at most half of it. */
const BYTES_AT_ONCE = 8 * MIB;
/** An agent with more unread gets no more: its link would be called too slow at 16 MiB. */
const UNREAD_BYTES = 4 * MIB;

export function createPacer({ store, clock, ready, handOver, onFailure }: PacerDeps): Pacer {
  /** Connected agents for which the store has, or may have, something queued. */
  const backlog = new Set<string>();
  /** Those for which somebody is about to look. */
  const asked = new Set<string>();

  const looks = createGroupCommit<string>({
    sleep: (ms) => clock.sleep(ms),
    maxBatch: AGENTS_AT_ONCE,
    onFailure,
    async commit(agentIds) {
      const rooms = [...new Set(agentIds)].flatMap((agentId) => {
        asked.delete(agentId);
        const session = ready(agentId);
        // It stays in the backlog, and is looked at when what it has from before is known.
        if (session?.load.isKnown !== true) return [];
        backlog.add(agentId);
        const { places, bytes } = session.load.room;
        if (places === 0 || bytes < BYTES_AT_ONCE || session.queuedBytes > UNREAD_BYTES) return [];
        return [{ agentId, session, places: Math.min(places, RUNS_AT_ONCE), bytes: BYTES_AT_ONCE }];
      });
      if (rooms.length === 0) return;
      const taken = await store.takeQueued(rooms, clock.now());
      const served = new Set<string>();
      for (const { runId, agentId, parameterBytes } of taken) {
        served.add(agentId);
        ready(agentId)?.load.add(runId, parameterBytes);
      }
      for (const { agentId } of rooms) if (!served.has(agentId)) backlog.delete(agentId);
      await handOver(taken);
    },
  });

  function look(agentId: string): void {
    if (asked.has(agentId)) return;
    asked.add(agentId);
    looks.add(agentId);
  }

  return {
    reserve(runId, agentId, parameterBytes) {
      const session = ready(agentId);
      if (session === undefined) return 'offline';
      // Who came before goes before.
      if (backlog.has(agentId) || session.queuedBytes > UNREAD_BYTES) return 'full';
      return session.load.take(runId, parameterBytes) ? 'taken' : 'full';
    },
    waiting(agentId) {
      if (ready(agentId) === undefined) return;
      backlog.add(agentId);
      look(agentId);
    },
    settled(agentId) {
      if (backlog.has(agentId)) look(agentId);
    },
    ended(runId, agentId) {
      const load = ready(agentId)?.load;
      load?.end(runId);
      if (backlog.size > 0 && load?.isLow === true && backlog.has(agentId)) look(agentId);
    },
    forget: (agentId) => void backlog.delete(agentId),
    tick() {
      // Parameters, or an agent that reads slowly, may have been what there was no room for.
      for (const agentId of backlog) if (ready(agentId)?.load.isLow === true) look(agentId);
    },
    stop: () => looks.close(),
  };
}
