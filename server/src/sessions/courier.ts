import type { Clock } from '../clock.ts';
import type { Owed, OwedStore } from '../runs/owed-store.ts';
import { encodeTasks, type TaskOrder } from '../runs/wire.ts';

export interface CourierDeps {
  readonly store: Pick<OwedStore, 'orders'>;
  readonly clock: Clock;
  send(agentId: string, order: TaskOrder, message: Buffer): void;
  onFailure(error: unknown, dispatches: number): void;
}

/** What of the parameters of different runs is in memory at a time. */
const MAX_BYTES = 16 * 1024 * 1024;
const MAX_RUNS = 500;
const WRITES_PER_TURN = 400;

/**
 * Hands over dispatches that are marked as sent, oldest run first: each run is read and encoded once. Never rejects: what cannot be read
 * now stays sent, and is said again by the sweep.
 */
export function createCourier({
  store,
  clock,
  send,
  onFailure,
}: CourierDeps): (owed: readonly Owed[]) => Promise<void> {
  return async function handOver(owed) {
    const targets = new Map<string, string[]>();
    for (const { runId, agentId } of owed) {
      const agentIds = targets.get(runId);
      if (agentIds === undefined) targets.set(runId, [agentId]);
      else agentIds.push(agentId);
    }
    let writes = 0;
    for (const runIds of slices(owed)) {
      try {
        const orders = new Map((await store.orders(runIds)).map((order) => [order.runId, order]));
        for (const runId of runIds) {
          const order = orders.get(runId);
          if (order === undefined) continue;
          const message = encodeTasks([order], clock.now());
          for (const agentId of targets.get(runId) ?? []) {
            if (++writes % WRITES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
            send(agentId, order, message);
          }
        }
      } catch (error) {
        onFailure(error, owed.length);
        return;
      }
    }
  };
}

/** The runs, in order, so many at a time that their parameters are not too much. */
function* slices(owed: readonly Owed[]): Generator<string[]> {
  const sizes = new Map(owed.map(({ runId, parameterBytes }) => [runId, parameterBytes]));
  let slice: string[] = [];
  let bytes = 0;
  for (const [runId, size] of sizes) {
    if (slice.length > 0 && (bytes + size > MAX_BYTES || slice.length >= MAX_RUNS)) {
      yield slice;
      slice = [];
      bytes = 0;
    }
    slice.push(runId);
    bytes += size;
  }
  if (slice.length > 0) yield slice;
}
