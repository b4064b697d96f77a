import { MAX_EVENT_BATCHES_UNDER_WAY } from '@openline/proto/limits';
import type { EventBatch } from './event.ts';
import type { Piece } from './take-in.ts';

/**
 * What agents sent and is not committed: bounded for each of them and in all. What there is no room for is left unread, and with it all that
 * follows it of that agent, until the agent begins again at what was left: so nothing is ever skipped.
 */
export interface Inbox {
  /** @returns whether it was taken */
  put(batch: EventBatch): boolean;
  has(agentId: string): boolean;
  /** The next so many records of the agent's oldest batch; undefined: it has none. The same until `done`. */
  next(agentId: string, most: number): Piece | undefined;
  /** It is dealt with. @returns when its batch arrived, if that was the end of it */
  done(piece: Piece): number | undefined;
  /** It cannot be stored: it is left unread after all. */
  refuse(piece: Piece): void;
}

/** Of all agents together: what waits while the database is away. */
const MOST_BYTES = 128 * 1024 * 1024;

interface Box {
  readonly epoch: number;
  readonly spoolId: string;
  readonly batches: EventBatch[];
  /** Records of the first batch that are dealt with. */
  at: number;
  /** The first record that was left unread; undefined: none was. */
  unreadFrom: number | undefined;
}

export function createInbox(mostBytes = MOST_BYTES): Inbox {
  const boxes = new Map<string, Box>();
  let bytes = 0;

  function empty(box: Box): void {
    for (const { weight } of box.batches) bytes -= weight;
    box.batches.length = 0;
    box.at = 0;
  }

  /** Of this session and spool; what an older one sent comes again over this one. */
  function boxOf({ agentId, epoch, spoolId }: EventBatch): Box | undefined {
    const known = boxes.get(agentId);
    if (known !== undefined && known.epoch > epoch) return undefined;
    if (known?.epoch === epoch && known.spoolId === spoolId) return known;
    if (known !== undefined) empty(known);
    const box: Box = { epoch, spoolId, batches: [], at: 0, unreadFrom: undefined };
    boxes.set(agentId, box);
    return box;
  }

  /** Undefined: a newer session has begun while the piece was under way, and says everything again. */
  function sameBox({ agentId, epoch, spoolId }: Piece): Box | undefined {
    const box = boxes.get(agentId);
    return box?.epoch === epoch && box.spoolId === spoolId ? box : undefined;
  }

  return {
    put(batch) {
      const box = boxOf(batch);
      if (box === undefined) return false;
      if (box.unreadFrom !== undefined && batch.afterSeq >= box.unreadFrom) return false;
      if (box.batches.length >= MAX_EVENT_BATCHES_UNDER_WAY || bytes + batch.weight > mostBytes) {
        box.unreadFrom = batch.firstSeq;
        return false;
      }
      box.unreadFrom = undefined;
      box.batches.push(batch);
      bytes += batch.weight;
      return true;
    },

    has: (agentId) => (boxes.get(agentId)?.batches.length ?? 0) > 0,

    next(agentId, most) {
      const box = boxes.get(agentId);
      const batch = box?.batches[0];
      if (box === undefined || batch === undefined) return undefined;
      const records = batch.records.slice(box.at, box.at + most);
      const last = box.at + records.length >= batch.records.length ? batch.lastSeq : records.at(-1)?.seq;
      const { epoch, spoolId, clockBehindMs, lastSeq } = batch;
      return { agentId, epoch, spoolId, clockBehindMs, records, lastSeq: last ?? lastSeq };
    },

    done(piece) {
      const { agentId, lastSeq } = piece;
      const box = sameBox(piece);
      const batch = box?.batches[0];
      if (box === undefined || batch === undefined) return undefined;
      if (lastSeq < batch.lastSeq) {
        box.at = batch.records.findLastIndex(({ seq }) => seq <= lastSeq) + 1;
        return undefined;
      }
      box.batches.shift();
      box.at = 0;
      bytes -= batch.weight;
      if (box.batches.length === 0 && box.unreadFrom === undefined) boxes.delete(agentId);
      return batch.arrivedMs;
    },

    refuse(piece) {
      const box = sameBox(piece);
      if (box === undefined) return;
      box.unreadFrom = piece.records[0]?.seq ?? piece.lastSeq;
      empty(box);
    },
  };
}
