import type { NodeEvent } from '@openline/packs';
import { readChildLines } from '../read/child-lines.ts';
import { createLoop, type LoopDeps, type Reading } from '../read/loop.ts';
import { decodePosition, POSITION_UNREADABLE } from '../read/position.ts';
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
  const { error, stderr } = await follow(reading, place.cursor, config);
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

/** Until journalctl ends. */
function follow(
  reading: Reading,
  after: string | null,
  config: JournalConfig,
): Promise<{ error: Error; stderr: string }> {
  let cursor = after;
  let first = true;

  async function take(lines: readonly string[], tooLong: number): Promise<void> {
    const events: NodeEvent[] = [];
    const before = cursor;
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
    if (cursor !== before) await reading.push(events, JSON.stringify({ cursor } satisfies Place));
  }

  const onStderr = (stderr: string) => {
    if (/not seeing messages/.test(stderr)) reading.fault(ONLY_OWN);
  };
  const options = { signal: reading.signal, maxLineBytes: MAX_ENTRY_BYTES, onStderr };
  return readChildLines(followJournal(config, after ?? undefined), options, take);
}

function parsePlace({ cursor }: Readonly<Record<string, unknown>>): Place | undefined {
  return cursor === null || typeof cursor === 'string' ? { cursor } : undefined;
}
