// A program that writes to an agent's event log: `node flood-writer.ts DIRECTORY PER_SECOND SECONDS`. Prints how many it wrote.
import { setTimeout as pause } from 'node:timers/promises';
import { createEventLog } from '../../agent/src/event-log.ts';

/** Kinds of events in a flood. */
export const FLOOD_KEYS = 20;

async function main([directory = '', perSecond, seconds]: readonly string[]): Promise<void> {
  const log = createEventLog({ directory });
  const total = Number(perSecond) * Number(seconds);
  const startMs = performance.now();
  let written = 0;
  while (written < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startMs) / 1000) * Number(perSecond)));
    const from = written;
    const events = Array.from({ length: Math.min(1_000, due - written) }, (_, i) => ({
      source: 'flood',
      id: String((from + i) % FLOOD_KEYS),
      level: 'warning' as const,
      message: `connection to upstream 10.0.3.17:8443 failed: timeout after 5000 ms, attempt ${from + i}`,
      data: { pid: process.pid },
    }));
    await log.append(events);
    written += events.length;
    await pause(10);
  }
  console.log(JSON.stringify({ written }));
}

if (import.meta.main) await main(process.argv.slice(2));
