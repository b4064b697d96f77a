import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { NodeEvent } from '@openline/packs';
import { createLoop, type LoopDeps, type Reading } from '../read/loop.ts';
import { decodePosition, POSITION_UNREADABLE } from '../read/position.ts';
import { createStreamLines } from '../read/stream-lines.ts';
import type { EventSource } from '../source.ts';
import { entriesBetween, parseJournalEntry } from './entry.ts';
import { asFault, followJournal, type JournalctlConfig, lastCursor } from './journalctl.ts';

export interface JournalConfig extends JournalctlConfig {
  /** What the kernel says is read from its own log: not here, too. */
  readonly withoutKernel: boolean;
}

interface Place {
  /** Of the last entry that was read; null: of none, the journal was empty. */
  readonly cursor: string | null;
}

/** Four times what is read at once: bytes that are no text come as numbers. */
const MAX_ENTRY_BYTES = 256 * 1024;
const MAX_STDERR_CHARS = 2_000;
const ONLY_OWN =
  'the journal shows only what the agent’s own user wrote; run the agent as root, or add its user to the group systemd-journal';

/** The journal of systemd, by a journalctl that follows it. */
export function createJournalSource(deps: LoopDeps, config: JournalConfig): EventSource {
  return createLoop(deps, 'journal', (reading) => readJournal(reading, config));
}

async function readJournal(reading: Reading, config: JournalConfig): Promise<void> {
  const saved = reading.position();
  let place = decodePosition(saved, parsePlace);
  if (saved !== undefined && place === undefined) reading.lost(0, POSITION_UNREADABLE);
  if (place === undefined) {
    place = { cursor: (await lastCursor(config, reading.signal)) ?? null };
    await reading.push([], JSON.stringify(place));
  }
  const child = followJournal(config, place.cursor ?? undefined);
  const end = untilEnd(child, (stderr) => {
    if (/not seeing messages/.test(stderr)) reading.fault(ONLY_OWN);
  });
  const stop = () => child.kill();
  reading.signal.addEventListener('abort', stop, { once: true });
  try {
    await readEntries(reading, child, place.cursor, config);
  } finally {
    reading.signal.removeEventListener('abort', stop);
    child.kill();
    await end;
  }
  const { error, stderr } = await end;
  if (reading.signal.aborted) return;
  // The place is none that this journal knows: it is another journal by now.
  if (/seek to cursor/.test(stderr)) {
    reading.lost(0, POSITION_UNREADABLE);
    await reading.push(
      [],
      JSON.stringify({ cursor: (await lastCursor(config, reading.signal)) ?? null } satisfies Place),
    );
  }
  throw asFault(error, stderr);
}

async function readEntries(
  reading: Reading,
  child: ChildProcess,
  after: string | null,
  config: JournalConfig,
): Promise<void> {
  if (child.stdout === null) return;
  const split = createStreamLines(MAX_ENTRY_BYTES);
  let cursor = after;
  let first = true;
  for await (const chunk of child.stdout) {
    const { lines, tooLong } = split.push(chunk);
    const events: NodeEvent[] = [];
    if (tooLong > 0) reading.lost(tooLong, `longer than ${MAX_ENTRY_BYTES / 1024} KiB`);
    for (const line of lines) {
      const entry = parseJournalEntry(line);
      if (entry === undefined) continue;
      const missing = first && cursor !== null ? entriesBetween(cursor, entry.cursor) : 0;
      if (missing > 0) reading.lost(missing, 'removed from the journal before they were read');
      first = false;
      cursor = entry.cursor;
      if (!(entry.isKernel && config.withoutKernel)) events.push(entry.event);
    }
    if (cursor !== after) await reading.push(events, JSON.stringify({ cursor } satisfies Place));
    if (reading.signal.aborted) return;
  }
}

/** Resolves when the process is gone, however it went. */
async function untilEnd(
  child: ChildProcess,
  said: (stderr: string) => void,
): Promise<{ error: Error; stderr: string }> {
  let stderr = '';
  let error = new Error('it ended');
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MAX_STDERR_CHARS);
    said(stderr);
  });
  child.on('error', (cause) => {
    error = cause;
  });
  const [code, signal] = await once(child, 'close').catch(() => [null, null]);
  if (child.pid !== undefined) error = new Error(`it ended with ${signal ?? `exit code ${code}`}`);
  return { error, stderr };
}

function parsePlace({ cursor }: Readonly<Record<string, unknown>>): Place | undefined {
  return cursor === null || typeof cursor === 'string' ? { cursor } : undefined;
}
