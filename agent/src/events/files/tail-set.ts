import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isErrno } from '../read/errno.ts';
import { fits, NO_FINGERPRINT } from '../read/fingerprint.ts';
import type { Encoding } from '../read/lines.ts';
import { expand } from './glob.ts';
import type { Memory } from './memory.ts';
import { type FileKey, isRotatedName, keyOf, rotatedOf } from './rotated.ts';
import { type Mark, markOf, openTail, type Place, resume, skipToEnd, startOver, type Tail } from './tail.ts';

export interface TailSetConfig {
  readonly patterns: readonly string[];
  readonly encoding: Encoding;
  readonly maxFiles: number;
  /** A file that no path leads to any more is dropped when it has not grown for so long: its writer may not know yet. */
  readonly lingerMs: number;
}

export interface TailSetDeps {
  readonly nowMs: () => number;
  readonly unixMs: () => number;
  readonly lost: (events: number, reason: string) => void;
}

/** The files of a source: which there are, which went on under another name, which are finished. */
export interface TailSet {
  /** In the order in which they are to be read. */
  readonly tails: readonly Tail[];
  /** Looks which files there are. @returns what is wrong, for people; empty: nothing */
  look(): Promise<string>;
  /** Its bytes are not those that were read: finds the rest of those elsewhere, and begins with the new ones. */
  emptied(tail: Tail): Promise<void>;
  /** Drops what is finished. */
  drop(): Promise<void>;
  memory(): Memory;
  close(): Promise<void>;
}

const FROM_START: Place = { offset: 0, skipping: false, fingerprint: NO_FINGERPRINT };
const MAX_DONE = 20;
/** In a row, while names change. */
const MAX_LOOKS = 5;
/** The kernel dates files by a clock that lags behind by a tick. */
const TICK_MS = 20;
/** Fewer bytes at the beginning can be the same by chance. */
const MIN_COPY_BYTES = 16;

/** @param memory undefined: what is there at the first look is history */
export function createTailSet(
  { patterns, encoding, maxFiles, lingerMs }: TailSetConfig,
  { nowMs, unixMs, lost }: TailSetDeps,
  memory: Memory | undefined,
): TailSet {
  let tails: Tail[] = [];
  let done: Mark[] = [...(memory?.done ?? [])];
  let lookedUnixMs = memory?.lookedUnixMs ?? unixMs();
  /** Until the first look. */
  let remembered = memory?.tails;
  let first = true;
  /** As of the last look. */
  let matched = new Map<FileKey, string>();

  const tailOf = (key: FileKey) => tails.find((tail) => tail.key === key);

  /** @returns undefined: it is read already, is another file by now, or not the one that the place is in */
  async function openAt(path: string, key: FileKey, as: string, place: Place): Promise<Tail | undefined> {
    const tail = await openTail(path, as).catch(() => undefined);
    if (tail === undefined) return undefined;
    if (tail.key === key && tailOf(key) === undefined && (await resume(tail, place, encoding))) return tail;
    await tail.file.close();
    return undefined;
  }

  /** Of a file that has another name or other bytes by now: the file itself, else a copy that was made before. It is read to its end. */
  async function openRest(mark: Mark): Promise<Tail | undefined> {
    const rotated = await rotatedOf(mark.real);
    const itself = rotated.filter(({ key }) => key === mark.key);
    const copies = mark.fingerprint.bytes < MIN_COPY_BYTES ? [] : rotated.toReversed();
    // A symbolic link may have been pointed elsewhere, and the file be where it was.
    const unmoved = { path: mark.real, key: mark.key };
    for (const { path, key } of [unmoved, ...itself, ...copies]) {
      const rest = await openAt(path, key, mark.path, mark);
      if (rest !== undefined) return Object.assign(rest, { real: mark.real, goneMs: nowMs() });
    }
    return undefined;
  }

  /**
   * Puts in files that were at the path of the mark after it, and are so no more: whoever rotates can be quicker than we look.
   * @param stale files that were read before, and have other bytes by now
   */
  async function addBetween(mark: Mark, stale: ReadonlySet<FileKey>): Promise<void> {
    const between: Tail[] = [];
    for (const one of await rotatedOf(mark.real)) {
      // Older ones were there when we last looked; what matches is found in any case.
      const isNew = one.bornUnixMs >= lookedUnixMs - TICK_MS || stale.has(one.key);
      if (!isNew || matched.has(one.key)) continue;
      const tail = await openAt(one.path, one.key, mark.path, FROM_START);
      if (tail === undefined) continue;
      if ((await isCopy(tail, mark)) || (await isDone(tail))) await tail.file.close();
      else between.push(Object.assign(tail, { real: mark.real, goneMs: nowMs() }));
    }
    // Behind what else there is of that log, but for what is at its path now.
    const behind = tails.findLastIndex(({ path, key }) => path === mark.path && !matched.has(key)) + 1;
    const before = tails.findIndex(({ path }) => path === mark.path);
    tails.splice(behind > 0 ? behind : Math.max(before, 0), 0, ...between);
  }

  async function isDone(tail: Tail): Promise<boolean> {
    const mark = done.find(({ key }) => key === tail.key);
    return mark !== undefined && (await fits(tail.file, mark.fingerprint));
  }

  function remember(marks: readonly Mark[]): void {
    const keys = new Set(marks.map(({ key }) => key));
    done = [...done.filter(({ key }) => !keys.has(key)), ...marks].slice(-MAX_DONE);
  }

  async function recall(marks: readonly Mark[]): Promise<void> {
    /** The last mark of each path whose file is another one, or may be. */
    const unsettled = new Map<string, Mark>();
    const stale = new Set<FileKey>();
    for (const mark of marks) {
      const path = matched.get(mark.key);
      const same = path === undefined ? undefined : await openAt(path, mark.key, mark.path, mark);
      const found = same ?? (await openRest(mark));
      if (found !== undefined) tails.push(found);
      else if (mark.fingerprint.bytes > 0) lost(0, `${mark.path}: gone while nobody read it`);
      if (found?.key !== mark.key) {
        stale.add(mark.key);
        remember([mark]);
      }
      // An empty file looks the same after it was filled, copied and emptied.
      if (same === undefined || mark.fingerprint.bytes === 0) unsettled.set(mark.path, mark);
      else unsettled.delete(mark.path);
    }
    for (const mark of unsettled.values()) await addBetween(mark, stale);
  }

  async function look(): Promise<string> {
    for (let again = MAX_LOOKS; ; again--) {
      const { problems, moved } = await lookOnce();
      // What was renamed under our hands is looked for once more, as of the time before.
      if (moved && again > 1) continue;
      return problems.slice(0, 3).join('; ');
    }
  }

  async function lookOnce(): Promise<{ problems: string[]; moved: boolean }> {
    const lookedFromUnixMs = unixMs();
    const { found, problems } = await findFiles(patterns, maxFiles, (path) => tails.some((tail) => tail.path === path));
    matched = found;
    if (remembered !== undefined) {
      await recall(remembered);
      remembered = undefined;
    }
    let moved = false;
    for (const [key, path] of found) {
      const tail = tailOf(key);
      if (tail !== undefined) tail.goneMs = undefined;
      else if (await begin(path, key, problems)) moved = true;
    }
    for (const tail of tails) if (!found.has(tail.key)) tail.goneMs ??= nowMs();
    if (!moved) {
      first = false;
      lookedUnixMs = lookedFromUnixMs;
    }
    return { problems, moved };
  }

  /** With a file that was not read before. @returns whether another one is there by now */
  async function begin(path: string, key: FileKey, problems: string[]): Promise<boolean> {
    let tail: Tail | undefined;
    try {
      tail = await openTail(path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return true;
      problems.push(problemWith(path, error));
      return false;
    }
    if (tail?.key !== key) {
      await tail?.file.close();
      return true;
    }
    if (!(await placeIn(tail))) {
      await tail.file.close();
      return false;
    }
    const before = tails.findLast((other) => other.path === path);
    if (before !== undefined) await addBetween(markOf(before), new Set());
    tails.push(tail);
    return false;
  }

  /** Where in a new file we begin. @returns false: not at all, as long as its lines are in another one, too */
  async function placeIn(tail: Tail): Promise<boolean> {
    if (first && memory === undefined) {
      await skipToEnd(tail, encoding);
      return true;
    }
    const mark = done.find(({ key }) => key === tail.key);
    if (mark !== undefined && (await resume(tail, mark, encoding))) return true;
    for (const other of tails) if (await isCopy(tail, markOf(other))) return false;
    for (const other of done) {
      if (!(await isCopy(tail, other))) continue;
      // Of an older copy all was read in the original.
      if (!(await resume(tail, other, encoding))) await skipToEnd(tail, encoding);
      break;
    }
    return true;
  }

  async function emptied(tail: Tail): Promise<void> {
    const mark = markOf(tail);
    const rest = await openRest(mark);
    if (rest !== undefined) tails.splice(tails.indexOf(tail), 0, rest);
    else if (tail.knownSize > tail.offset) lost(0, `${tail.path}: emptied before it was read to its end`);
    remember([mark]);
    await addBetween(mark, new Set());
    startOver(tail);
  }

  async function drop(): Promise<void> {
    const finished = tails.filter(({ goneMs, quietMs }) => {
      if (goneMs === undefined || quietMs === undefined) return false;
      return nowMs() - Math.max(goneMs, quietMs) >= lingerMs;
    });
    if (finished.length === 0) return;
    tails = tails.filter((tail) => !finished.includes(tail));
    remember(finished.map(markOf));
    for (const { file } of finished) await file.close();
  }

  return {
    get tails() {
      return tails;
    },
    look,
    emptied,
    drop,
    memory: () => ({ tails: tails.map(markOf), done, lookedUnixMs }),
    async close() {
      for (const { file } of tails.splice(0)) await file.close();
    },
  };
}

async function isCopy(tail: Tail, of: Mark): Promise<boolean> {
  if (tail.key === of.key || of.fingerprint.bytes < MIN_COPY_BYTES) return false;
  if (dirname(tail.real) !== dirname(of.real) || !isRotatedName(basename(tail.real), basename(of.real))) return false;
  return fits(tail.file, of.fingerprint);
}

/** @param hadBefore whether it may be missing for a moment */
async function findFiles(patterns: readonly string[], maxFiles: number, hadBefore: (path: string) => boolean) {
  const found = new Map<FileKey, string>();
  const problems: string[] = [];
  for (const path of await expand(patterns, 20 * maxFiles)) {
    try {
      const stats = await stat(path, { bigint: true });
      // One file may have several names.
      if (!stats.isFile() || found.has(keyOf(stats))) continue;
      if (found.size === maxFiles) {
        problems.push(`more than ${maxFiles} files match ${patterns.join(', ')}: the others are not read`);
        break;
      }
      found.set(keyOf(stats), path);
    } catch (error) {
      if (!hadBefore(path)) problems.push(problemWith(path, error));
    }
  }
  return { found, problems };
}

function problemWith(path: string, error: unknown): string {
  if (isErrno(error, 'ENOENT')) return `${path}: there is no such file yet`;
  if (isErrno(error, 'EACCES', 'EPERM')) return `${path}: permission denied; let the user of the agent read it`;
  return `${path}: ${error instanceof Error ? error.message : String(error)}`;
}
