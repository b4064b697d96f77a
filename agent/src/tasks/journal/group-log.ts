import type { Clock, EngineLog, Timer } from '../clock.ts';
import type { LogFile, LogFs } from './log-fs.ts';

/**
 * `synced`: on disk before `done`; when that fails the record is not in the file and `done` gets the error.
 * `written`: handed to the operating system before `done`, on disk with the next sync (at most a self-check later). When that fails `done` gets the
 * error too, but the record is kept and written as soon as the disk takes it.
 */
export type Durability = 'written' | 'synced';

/** An append-only file of lines. Everything that is queued while one write and sync is under way shares the next one. */
export interface GroupLog {
  /** @param text whole lines */
  append(text: string, durability: Durability, done?: (error?: Error) => void): void;
  /** Monotonic time of the last write and sync that succeeded. */
  lastSyncedMs(): number;
  /** Why the last attempt failed; empty once one succeeded. */
  fault(): string;
  /** Writes and syncs what is queued, then closes the file. What the disk still refuses is lost, and logged. */
  close(): Promise<void>;
}

export interface GroupLogDeps {
  readonly fs: LogFs;
  readonly clock: Clock;
  readonly log: EngineLog;
  /** The lines that a rewritten file begins with. Without it the file only grows. */
  readonly snapshot?: () => string[];
  /** A line that means nothing, of at least so many bytes, for the self-check. */
  readonly probe: (leastBytes: number) => string;
  readonly synced?: ((tookMs: number) => void) | undefined;
}

export interface GroupLogConfig {
  readonly path: string;
  /** Where the valid content ends; what lies behind is cut off. */
  readonly validBytes: number;
  /** Rewritten when it is larger than this, and twice what it was after it was last rewritten, bytes. Default 8 MiB. */
  readonly rewriteAfterBytes?: number;
  /** Default 1 s. */
  readonly retryMs?: number;
  /** How often a line is written and synced to see that it works, when nothing else was. Default 10 s. */
  readonly selfCheckMs?: number;
}

interface Item {
  readonly text: string;
  readonly durability: Durability;
  done: ((error?: Error) => void) | undefined;
}

/** @throws the file cannot be opened */
export async function createGroupLog(deps: GroupLogDeps, config: GroupLogConfig): Promise<GroupLog> {
  const { fs, clock, log } = deps;
  const rewriteAfterBytes = config.rewriteAfterBytes ?? 8 * 1024 * 1024;
  const retryMs = config.retryMs ?? 1_000;
  const selfCheckMs = config.selfCheckMs ?? 10_000;

  let file: LogFile = await fs.open(config.path);
  let end = config.validBytes;
  /** There may be bytes behind `end`. */
  let dirtyTail = true;
  /** A sync failed: the kernel may have dropped pages that it now calls clean, so only a new file can be trusted. */
  let distrusted = false;
  /** So that a large live set is not rewritten at every turn. */
  let rewriteAtBytes = rewriteAfterBytes;
  let queue: Item[] = [];
  let busy: Promise<void> | undefined;
  let fault = '';
  /** The longest record that was refused. What is smaller may find room at the end of a page, and proves nothing. */
  let refusedBytes = 0;
  let lastSyncedMs = clock.nowMs();
  let timer: Timer | undefined;
  let closed = false;

  function append(text: string, durability: Durability, done?: (error?: Error) => void): void {
    if (closed) {
      done?.(new Error('the journal is closed'));
      return;
    }
    queue.push({ text, durability, done });
    wake();
  }

  /** The turn's other records join before the write begins. */
  function wake(): void {
    if (busy === undefined) busy = Promise.resolve().then(drain);
  }

  async function drain(): Promise<void> {
    try {
      while (queue.length > 0) {
        const items = queue;
        queue = [];
        if (!(await commit(items))) return;
      }
    } finally {
      busy = undefined;
      // What came between a failure and here does not wait for the retry: its own attempt is its answer.
      if (queue.some((item) => item.done !== undefined)) wake();
    }
  }

  /** @returns false: nothing of it is in the file, and what must not be lost is queued again. */
  async function commit(items: readonly Item[]): Promise<boolean> {
    const sync = items.some((item) => item.durability === 'synced');
    const bytes = Buffer.from(items.length === 1 ? (items[0]?.text ?? '') : items.map((item) => item.text).join(''));
    try {
      if (deps.snapshot !== undefined) {
        if (distrusted) await rewrite();
        else if (end > rewriteAtBytes) await tryRewrite();
      }
      if (dirtyTail) await file.truncate(end);
      dirtyTail = true;
      await file.write(bytes, end);
      for (const item of items) {
        if (item.durability === 'synced') continue;
        item.done?.();
        item.done = undefined;
      }
      if (sync) await syncNow();
      end += bytes.length;
      dirtyTail = false;
    } catch (error) {
      failed(error instanceof Error ? error : new Error(messageOf(error)), items);
      return false;
    }
    if (fault !== '' && bytes.length >= refusedBytes) {
      log.info({ path: config.path }, 'the journal can be written again');
      fault = '';
      refusedBytes = 0;
    }
    for (const item of items) item.done?.();
    return true;
  }

  async function syncNow(): Promise<void> {
    const startMs = clock.nowMs();
    try {
      await file.sync();
    } catch (error) {
      distrusted = true;
      throw error;
    }
    lastSyncedMs = clock.nowMs();
    deps.synced?.(lastSyncedMs - startMs);
  }

  function failed(error: Error, items: readonly Item[]): void {
    if (fault === '') log.error({ path: config.path, error: error.message }, 'the journal cannot be written');
    fault = `journal: ${error.message}`;
    refusedBytes = items.reduce((most, { text }) => Math.max(most, Buffer.byteLength(text)), refusedBytes);
    const kept = items.filter((item) => item.durability === 'written');
    for (const item of items) {
      const done = item.done;
      item.done = undefined;
      done?.(error);
    }
    queue.unshift(...kept);
    schedule(retryMs);
  }

  /** Into a new file that takes the old one's place only when it is whole and on disk. */
  async function rewrite(): Promise<void> {
    const lines = deps.snapshot?.() ?? [];
    const draft = `${config.path}.new`;
    await fs.remove(draft);
    const next = await fs.open(draft);
    try {
      const bytes = Buffer.from(lines.join(''));
      await next.write(bytes, 0);
      await next.sync();
      await fs.rename(draft, config.path);
      const old = file;
      file = next;
      end = bytes.length;
      rewriteAtBytes = Math.max(rewriteAfterBytes, 2 * end);
      dirtyTail = false;
      await old.close().catch(() => undefined);
    } catch (error) {
      if (file !== next) await next.close().catch(() => undefined);
      throw error;
    }
    await fs.syncDirectoryOf(config.path);
    distrusted = false;
  }

  /** While the file can be trusted a failure costs only room. */
  async function tryRewrite(): Promise<void> {
    try {
      await rewrite();
    } catch (error) {
      rewriteAtBytes = Math.max(rewriteAfterBytes, 2 * end);
      log.error(
        { path: config.path, error: messageOf(error) },
        'the journal cannot be rewritten; the old file is used on',
      );
    }
  }

  function schedule(delayMs: number): void {
    timer?.cancel();
    if (closed) return;
    timer = clock.after(delayMs, () => {
      if (clock.nowMs() - lastSyncedMs >= selfCheckMs || fault !== '') append(deps.probe(refusedBytes), 'synced');
      schedule(fault === '' ? selfCheckMs : retryMs);
    });
  }

  if (deps.snapshot !== undefined && end > 0) {
    await tryRewrite();
  }
  schedule(selfCheckMs);

  return {
    append,
    lastSyncedMs: () => lastSyncedMs,
    fault: () => fault,
    async close() {
      // One last record makes the sync cover what was only written.
      append(deps.probe(0), 'synced');
      closed = true;
      timer?.cancel();
      while (busy !== undefined) await busy;
      const lost = queue.filter((item) => item.durability === 'written').length;
      if (lost > 0)
        log.error({ path: config.path, records: lost }, 'the journal closes without records that the disk refused');
      await file.close().catch(() => undefined);
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
