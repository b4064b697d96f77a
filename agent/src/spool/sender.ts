import type { EventBatch, EventRecord } from '@openline/proto/agent';
import { MAX_AGENT_MESSAGE_BYTES, MAX_EVENT_BATCHES_UNDER_WAY, MAX_EVENT_RECORDS } from '@openline/proto/limits';
import type { Clock, EngineLog, Timer } from '../tasks/clock.ts';
import type { EventSpool } from './event-spool.ts';

/** Sends the records of the spool in order, a few batches at a time, and begins again at the first unacknowledged one with each session. */
export interface EventSender {
  /** @param taking whether this server takes events */
  opened(taking: boolean): void;
  closed(): void;
  acknowledged(spoolId: string, seq: number): void;
  /** There are new records on disk. */
  kick(): void;
}

export interface SenderDeps {
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly spool: Pick<EventSpool, 'id' | 'read' | 'acknowledged' | 'acked'>;
  /** @returns false: there is no session */
  readonly send: (batch: EventBatch) => boolean;
}

/** Of the records in a batch: each has a little around it there. */
const BATCH_BYTES = MAX_AGENT_MESSAGE_BYTES - 16 * 1024;
/** A server that has no room leaves a batch unread. */
const RESEND_MS = 30_000;

export function createEventSender({ clock, log, spool, send }: SenderDeps): EventSender {
  let open = false;
  /** Counts sessions and new beginnings: what was read for an older one is not sent. */
  let epoch = 0;
  let sentUpTo = 0;
  /** The last record of each batch under way. */
  let underWay: number[] = [];
  let pumping = false;
  /** There may be something to send that the pump has not seen. */
  let wanted = false;
  let timer: Timer | undefined;

  function begin(): void {
    epoch += 1;
    sentUpTo = spool.acked();
    underWay = [];
    watch();
    kick();
  }

  function kick(): void {
    wanted = true;
    if (pumping || !open) return;
    pumping = true;
    pumpWhileWanted()
      .catch((error: unknown) => log.error({ error }, 'the event spool could not be read'))
      .finally(() => {
        pumping = false;
      });
  }

  async function pumpWhileWanted(): Promise<void> {
    while (wanted && open) {
      wanted = false;
      await pump();
    }
  }

  async function pump(): Promise<void> {
    while (open && underWay.length < MAX_EVENT_BATCHES_UNDER_WAY) {
      const mine = epoch;
      const records = bounded(await spool.read(sentUpTo, BATCH_BYTES));
      if (mine !== epoch) continue;
      const last = records.at(-1);
      if (last === undefined || !open) return;
      const sentUnixMs = BigInt(Math.round(clock.unixMs()));
      if (!send({ spoolId: spool.id, records, afterSeq: BigInt(sentUpTo), sentUnixMs })) return;
      sentUpTo = Number(last.seq);
      underWay.push(sentUpTo);
      if (underWay.length === 1) watch();
    }
  }

  /** From the moment on since which nothing was acknowledged. */
  function watch(): void {
    timer?.cancel();
    timer = undefined;
    if (!open || underWay.length === 0) return;
    timer = clock.after(RESEND_MS, () => {
      log.warn({ batches: underWay.length }, 'the server does not acknowledge events: they are sent again');
      begin();
    });
  }

  return {
    opened(taking) {
      open = taking;
      begin();
    },
    closed() {
      open = false;
      epoch += 1;
      watch();
    },
    acknowledged(spoolId, seq) {
      if (spoolId !== spool.id) return;
      spool.acknowledged(seq);
      const acked = spool.acked();
      const left = underWay.filter((last) => last > acked);
      if (left.length === underWay.length && sentUpTo >= acked) return;
      underWay = left;
      sentUpTo = Math.max(sentUpTo, acked);
      watch();
      kick();
    },
    kick,
  };
}

function bounded(records: readonly EventRecord[]): EventRecord[] {
  return records.slice(0, MAX_EVENT_RECORDS);
}
