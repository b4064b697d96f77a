import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import { isStoreUnavailable } from '../db/store-errors.ts';
import type { EventBatch } from './event.ts';
import { createInbox, type Inbox } from './inbox.ts';
import type { Slice } from './plan.ts';
import type { Piece, TakeIn, TakenIn } from './take-in.ts';

/** Takes in what agents observed, in groups, fairly, and says what is durable. */
export interface EventDesk {
  /** Left unread when there is no room: the agent sends it again. */
  take(batch: EventBatch): void;
  /** Nothing is waiting to be committed. */
  idle(): Promise<void>;
  /** What the store last refused, if it still does. */
  fault(): string | undefined;
}

export interface EventDeskDeps {
  readonly takeIn: TakeIn;
  readonly clock: Clock;
  /** Everything up to and with `seq` is durable: the agent may forget it. */
  acknowledge(agentId: string, spoolId: string, seq: number): void;
  /** Tasks wait to be run in answer. */
  answersDue(): void;
  /** Events were stored. */
  stored(): void;
  onFault(what: string, error: unknown, details: object): void;
  readonly observe: EventObserver;
}

export interface EventObserver {
  /** Records that were committed together, and how long that took. */
  committed(records: number, seconds: number): void;
  /** New records of one agent; after their commit. @param now of the commit */
  taken(slice: Slice, now: Date): void;
  /** From the arrival of a batch to the commit of its last record. */
  durable(seconds: number): void;
  /** A batch was left unread. */
  unread(): void;
}

/** Records of one commit, and of one agent in it: whoever floods takes no more of each commit than this, and the others wait that long. */
const RECORDS_PER_COMMIT = 2_000;
const RECORDS_PER_AGENT = 500;

export function createEventDesk(deps: EventDeskDeps): EventDesk {
  const { takeIn, clock, observe } = deps;
  const inbox: Inbox = createInbox();
  let fault: string | undefined;

  const turns = createGroupCommit<string>({
    sleep: (ms) => clock.sleep(ms),
    onFailure(error, pending) {
      fault = `taking in events: ${messageOf(error)}`;
      deps.onFault('taking in events', error, { agents: pending });
    },
    async commit(agentIds) {
      const pieces: Piece[] = [];
      let room = RECORDS_PER_COMMIT;
      for (const agentId of new Set(agentIds)) {
        const piece = room > 0 ? inbox.next(agentId, Math.min(room, RECORDS_PER_AGENT)) : undefined;
        if (piece === undefined) continue;
        pieces.push(piece);
        room -= piece.records.length;
      }
      if (pieces.length > 0) await commitAll(pieces);
      // Who has more, or had no room, comes again: behind those that have been waiting.
      for (const agentId of new Set(agentIds)) if (inbox.has(agentId)) turns.add(agentId);
    },
  });

  async function commitAll(pieces: readonly Piece[]): Promise<void> {
    const startedMs = clock.nowMs();
    try {
      const taken = await takeIn(pieces);
      fault = undefined;
      finish(pieces, taken, startedMs);
    } catch (error) {
      if (isStoreUnavailable(error)) throw error;
      await isolate(pieces, error);
    }
  }

  /** Something that one agent sent cannot be stored: the others do not wait for it. What cannot is left unread, and said. */
  async function isolate(pieces: readonly Piece[], cause: unknown): Promise<void> {
    for (const piece of pieces) {
      const startedMs = clock.nowMs();
      try {
        if (pieces.length === 1) throw cause;
        finish([piece], await takeIn([piece]), startedMs);
      } catch (error) {
        if (isStoreUnavailable(error)) throw error;
        inbox.refuse(piece);
        observe.unread();
        const { agentId, records } = piece;
        const seqs = { from: records[0]?.seq, to: piece.lastSeq };
        deps.onFault('taking in the events of one agent', error, { agentId, ...seqs });
      }
    }
  }

  function finish(pieces: readonly Piece[], taken: TakenIn, startedMs: number): void {
    const nowMs = clock.nowMs();
    const now = clock.now();
    let records = 0;
    for (const slice of taken.slices) {
      records += slice.records.length;
      observe.taken(slice, now);
    }
    observe.committed(records, (nowMs - startedMs) / 1000);
    for (const piece of pieces) {
      const { agentId, spoolId, lastSeq } = piece;
      const arrivedMs = inbox.done(piece);
      if (taken.fenced.has(agentId)) continue;
      if (arrivedMs !== undefined) observe.durable((nowMs - arrivedMs) / 1000);
      deps.acknowledge(agentId, spoolId, lastSeq);
    }
    if (records > 0) deps.stored();
    if (taken.answers > 0) deps.answersDue();
  }

  return {
    take(batch) {
      if (inbox.put(batch)) turns.add(batch.agentId);
      else observe.unread();
    },
    idle: () => turns.idle(),
    fault: () => fault,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
