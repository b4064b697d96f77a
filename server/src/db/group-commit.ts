/**
 * Collects items and hands them to `commit` in batches: all that came in one turn of the event loop, then all that came while the
 * batch before was being committed. One batch is under way at a time, so items stay in order.
 */
export interface GroupCommit<T> {
  add(item: T): void;
  /** Items that are not committed yet. */
  pending(): number;
  /** Resolves when nothing is pending. */
  idle(): Promise<void>;
  /** Gives up on what is pending. */
  close(): void;
}

export interface GroupCommitDeps<T> {
  /** When it throws, the same items (and those that came since) are tried again. */
  commit(items: readonly T[]): Promise<void>;
  onFailure(error: unknown, pending: number): void;
  sleep(ms: number): Promise<void>;
  /** Whether more is expected than so many items that wait already. Default: yes */
  more?(waiting: number): boolean;
  /** Items in one batch. Default 2,000 */
  readonly maxBatch?: number;
  /** What the items of one batch may weigh together; one that is heavier is a batch of its own. Default: they weigh nothing */
  readonly weight?: { of(item: T): number; readonly most: number };
}

const MAX_BATCH = 2_000;
/**
 * After a batch of this size more is on its way: a short pause makes the next one larger, and a statement for fifty items costs the database
 * little more than one for five. A lone item never waits (docs/performance.md).
 */
const BUSY_BATCH = 16;
const BUSY_PAUSE_MS = 8;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 2_000;

export function createGroupCommit<T>({
  commit,
  onFailure,
  sleep,
  more = () => true,
  maxBatch = MAX_BATCH,
  weight,
}: GroupCommitDeps<T>): GroupCommit<T> {
  let waiting: T[] = [];
  let underWay = 0;
  let running = false;
  let closed = false;
  let idlers: (() => void)[] = [];

  function batchSize(): number {
    if (weight === undefined) return maxBatch;
    let size = 0;
    let left = weight.most;
    for (const item of waiting) {
      left -= weight.of(item);
      if (size === maxBatch || (left < 0 && size > 0)) break;
      size++;
    }
    return size;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (waiting.length > 0 && !closed) {
      const size = batchSize();
      const batch = waiting.length > size ? waiting.splice(0, size) : waiting;
      if (batch === waiting) waiting = [];
      underWay = batch.length;
      try {
        await commit(batch);
        failures = 0;
        if (batch.length >= BUSY_BATCH && !closed && more(waiting.length)) await sleep(BUSY_PAUSE_MS);
      } catch (error) {
        waiting = batch.concat(waiting);
        onFailure(error, waiting.length);
        await sleep(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** failures++));
      }
      underWay = 0;
    }
    running = false;
    for (const resolve of idlers) resolve();
    idlers = [];
  }

  return {
    add(item) {
      waiting.push(item);
      if (running || closed) return;
      running = true;
      setImmediate(() => void run());
    },
    pending: () => waiting.length + underWay,
    idle: () => (running ? new Promise((resolve) => idlers.push(resolve)) : Promise.resolve()),
    close() {
      closed = true;
      waiting = [];
    },
  };
}
