import type { NodeEvent } from '@openline/packs';
import { createLoop, type LoopDeps, pause, type Reading } from '../read/loop.ts';
import { decodePosition, isCount, POSITION_UNREADABLE } from '../read/position.ts';
import type { EventSource } from '../source.ts';
import type { KernelDevice } from './device.ts';
import { parseKernelRecord } from './record.ts';

export interface KernelDeps extends LoopDeps {
  readonly open: () => KernelDevice;
  /** Another one after each start of the machine. */
  readonly bootId: () => Promise<string>;
  /** Of the clock that the kernel dates records by: when it began. */
  readonly bootUnixMs: () => number;
}

/** There is no notice of a new record that Node could wait for. */
const POLL_MS = 500;
/** Reading one takes up to 0.1 ms, and cannot wait elsewhere. */
const MAX_BATCH = 64;

interface Place {
  readonly boot: string;
  /** Of the last record that was read; -1: of none. */
  readonly seq: number;
}

/** The kernel's log by /dev/kmsg: also of what it said before the agent started, since the machine did. */
export function createKernelSource(deps: KernelDeps): EventSource {
  return createLoop(deps, 'kernel', async (reading) => {
    const device = deps.open();
    try {
      await readDevice(reading, device, deps);
    } finally {
      device.close();
    }
  });
}

async function readDevice(reading: Reading, device: KernelDevice, deps: KernelDeps): Promise<void> {
  const boot = await deps.bootId();
  const saved = reading.position();
  const place = decodePosition(saved, parsePlace);
  if (saved !== undefined && place === undefined) reading.lost(0, POSITION_UNREADABLE);
  // Of a new start of the machine nothing was read, and its numbers begin anew.
  let seq = place?.boot === boot ? place.seq : -1;
  const say = (batch: readonly NodeEvent[], more: boolean) =>
    reading.push(batch, JSON.stringify({ boot, seq } satisfies Place), more);
  if (place === undefined) {
    // What is there is history, however much of it.
    while (readSome(() => {}).more) await pause(deps.clock, 0, reading.signal);
    await say([], false);
  }
  while (!reading.signal.aborted) {
    const { events, more } = readSome(reading.lost);
    if (events.length > 0) await say(events, more);
    reading.healthy();
    if (!more) await pause(deps.clock, POLL_MS, reading.signal);
  }

  function readSome(lost: Reading['lost']): { events: NodeEvent[]; more: boolean } {
    const events: NodeEvent[] = [];
    for (let count = 0; count < MAX_BATCH; count++) {
      const text = device.read();
      if (text === 'none') return { events, more: false };
      // How many, the next record's number says.
      if (text === 'overwritten') continue;
      const record = parseKernelRecord(text, deps.bootUnixMs());
      if (record === undefined || record.seq <= seq) continue;
      const missing = record.seq - seq - 1;
      if (missing > 0) lost(missing, 'overwritten by the kernel before they were read');
      seq = record.seq;
      events.push(record.event);
    }
    return { events, more: !reading.signal.aborted };
  }
}

function parsePlace({ boot, seq }: Readonly<Record<string, unknown>>): Place | undefined {
  return typeof boot === 'string' && (seq === -1 || isCount(seq)) ? { boot, seq } : undefined;
}
