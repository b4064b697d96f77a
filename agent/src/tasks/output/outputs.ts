import { join } from 'node:path';
import type { Uplink } from '../engine.ts';
import { createOutputSender, type OutputSender } from './sender.ts';
import { createOutputSpool, type OutputSpool, type SpoolBudget, type SpoolSize } from './spool.ts';

/** The kept output of all dispatches: on disk until the result is committed and all of the output is. */
export interface Outputs
  extends Pick<
    OutputSender,
    'kept' | 'complete' | 'committed' | 'opened' | 'resend' | 'closed' | 'writable' | 'pendingBytes'
  > {
  /** @param found the size of a file that an earlier process wrote */
  open(runId: string, found?: SpoolSize): OutputSpool;
  resultCommitted(runId: string): void;
  /** Whatever of it is not committed is given up. */
  remove(runId: string): void;
  /** Closes the files; they stay. */
  release(): Promise<void>;
}

export function createOutputs(uplink: Uplink, config: { directory: string; limitBytes: number }): Outputs {
  const budget: SpoolBudget = { freeBytes: config.limitBytes };
  const spools = new Map<string, OutputSpool>();
  const drained = new Set<string>();
  const resultCommitted = new Set<string>();
  const sender = createOutputSender({
    send: (chunk) => uplink.output(chunk),
    onDrained(runId) {
      drained.add(runId);
      if (resultCommitted.has(runId)) remove(runId);
    },
  });

  function remove(runId: string): void {
    const spool = spools.get(runId);
    if (spool === undefined) return;
    spools.delete(runId);
    drained.delete(runId);
    resultCommitted.delete(runId);
    sender.remove(runId);
    void spool.remove();
  }

  return {
    ...sender,
    remove,
    open(runId, found) {
      const spool = createOutputSpool(join(config.directory, runId), budget, found);
      spools.set(runId, spool);
      sender.add(runId, spool);
      return spool;
    },
    resultCommitted(runId) {
      if (!spools.has(runId)) return;
      resultCommitted.add(runId);
      if (drained.has(runId)) remove(runId);
    },
    async release() {
      for (const spool of spools.values()) await spool.release();
    },
  };
}
