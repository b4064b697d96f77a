import { dirname } from 'node:path';
import type { NodeEvent } from '@openline/packs';
import type { ToEvent } from '../formats/format.ts';
import { READ_BYTES } from '../read/bounds.ts';
import type { Encoding } from '../read/lines.ts';
import { createLoop, type LoopDeps, type Reading } from '../read/loop.ts';
import { decodePosition, POSITION_UNREADABLE } from '../read/position.ts';
import { createWake } from '../read/wake.ts';
import type { EventSource } from '../source.ts';
import { encodeMemory, parseMemory } from './memory.ts';
import { look, type Tail } from './tail.ts';
import { createTailSet, type TailSet } from './tail-set.ts';

export interface FileSourceConfig {
  /** Of the source. */
  readonly log: string;
  /** Absolute paths, or patterns of them. */
  readonly patterns: readonly string[];
  readonly encoding: Encoding;
  readonly toEvent: ToEvent;
  /** Default: every event is. */
  readonly isWanted?: (event: NodeEvent) => boolean;
  /** How often files are looked at though nothing said that they changed, milliseconds; default 1 s. */
  readonly pollMs?: number;
  /** A line without its end is taken when its file has not grown for so long, milliseconds; default 5 s. */
  readonly unfinishedMs?: number;
  /** A file that was renamed or removed is read on until it has not grown for so long, milliseconds; default 10 s. */
  readonly lingerMs?: number;
}

const MAX_FILES = 100;
/** Finding the files takes at most this share of the time. */
const LOOK_SHARE = 1 / 20;
/** When names change all the time. */
const LOOK_SHARE_IN_A_HURRY = 1 / 4;

/**
 * Lines of files as events. Read on are a file that was renamed, the copy that was made before a file was emptied, and what came and went
 * while nobody looked, as far as it is still there under a name that rotation gives.
 */
export function createFileSource(deps: LoopDeps, config: FileSourceConfig): EventSource {
  return createLoop(deps, config.log, (reading) => readFiles(deps, config, reading));
}

async function readFiles({ clock }: LoopDeps, config: FileSourceConfig, reading: Reading): Promise<void> {
  const { pollMs = 1_000, unfinishedMs = 5_000, lingerMs = 10_000, encoding, toEvent, isWanted = () => true } = config;
  const saved = reading.position();
  const memory = decodePosition(saved, parseMemory);
  if (saved !== undefined && memory === undefined) reading.lost(0, POSITION_UNREADABLE);
  const { nowMs, unixMs } = clock;
  const set = createTailSet(
    { ...config, maxFiles: MAX_FILES, lingerMs: Math.max(lingerMs, unfinishedMs) },
    { nowMs, unixMs, lost: reading.lost },
    memory,
  );
  const wake = createWake(clock, reading.signal);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let lookAtMs = nowMs();
  let soonestMs = nowMs();
  /** There is more in them than was read. */
  const behind = new Set<Tail>();

  async function lookForFiles(): Promise<void> {
    const startMs = nowMs();
    reading.fault(await set.look());
    wake.watch(directoriesOf(set, config.patterns));
    const tookMs = nowMs() - startMs;
    lookAtMs = nowMs() + Math.max(pollMs, tookMs / LOOK_SHARE);
    soonestMs = nowMs() + tookMs / LOOK_SHARE_IN_A_HURRY;
  }

  /** A little of each file. @returns whether there was anything */
  async function readSome(): Promise<boolean> {
    const busy = new Set<string>();
    for (const tail of [...set.tails]) {
      // The older lines of a log first.
      if (reading.signal.aborted || busy.has(tail.path)) continue;
      if (await readTail(tail)) busy.add(tail.path);
    }
    return busy.size > 0;
  }

  async function readTail(tail: Tail): Promise<boolean> {
    const found = await look(tail, { configured: encoding, unfinishedMs, nowMs: nowMs(), buffer });
    if (found.kind === 'nothing') {
      behind.delete(tail);
      return false;
    }
    if (found.kind === 'emptied') await set.emptied(tail);
    else {
      const events = found.lines.map((line) => toEvent(line, tail.path, unixMs(), found.truncated)).filter(isWanted);
      if (found.more) behind.add(tail);
      else behind.delete(tail);
      await reading.push(events, encodeMemory(set.memory()), behind.size > 0);
    }
    return true;
  }

  try {
    await lookForFiles();
    if (memory === undefined) await reading.push([], encodeMemory(set.memory()));
    while (!reading.signal.aborted) {
      if (await readSome()) {
        if (nowMs() >= lookAtMs) await lookForFiles();
        continue;
      }
      await set.drop();
      reading.healthy();
      const change = await wake.wait(Math.min(pollMs, Math.max(0, lookAtMs - nowMs())));
      if (change === 'names') lookAtMs = Math.min(lookAtMs, soonestMs);
      if (nowMs() >= lookAtMs) await lookForFiles();
    }
  } finally {
    wake.close();
    await set.close();
  }
}

function directoriesOf(set: TailSet, patterns: readonly string[]): Set<string> {
  const directories = set.tails.flatMap(({ path, real }) => [dirname(path), dirname(real)]);
  // Of a pattern, as far as it is a mere path.
  return new Set([...patterns.map((pattern) => dirname(pattern.replace(/[*?[{].*$/, '*'))), ...directories]);
}
