import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import { pageTokenOf, readPageToken, UnixMs } from '../page-token.ts';
import { isEnd } from './dispatch.ts';
import { Changes, type RunHub } from './hub.ts';
import type { AgentLines } from './lines.ts';
import type { DispatchView, RunService, RunView } from './run-service.ts';
import type { RunStore } from './run-store.ts';

/** The newest first: when, in milliseconds, and the id. */
const SORTED_BY = z.tuple([UnixMs, z.string().max(64)]);
/** A watcher of a large run is told what changed in this time at once: thousands of targets change within a second. */
const LARGE_RUN_TARGETS = 50;
const LARGE_RUN_PAUSE_MS = 40;
/** Rows of output read at once: at most 16 × 32 KiB in memory per reader. */
const OUTPUT_PAGE_ROWS = 16;
/** An ended dispatch whose output does not come is not waited for longer than this: its agent may be gone. */
const OUTPUT_WAIT_MS = 10_000;

export function createRunReader({
  store,
  hub,
  lines,
  clock,
}: {
  store: Pick<RunStore, 'run' | 'dispatches' | 'list' | 'readOutput'>;
  hub: RunHub;
  lines: Pick<AgentLines, 'isConnected'>;
  clock: Pick<Clock, 'sleep'>;
}): Pick<RunService, 'get' | 'list' | 'watch' | 'readOutput'> {
  const withPresence = (dispatch: DispatchView): DispatchView => ({
    ...dispatch,
    agentOnline: lines.isConnected(dispatch.agentId),
  });

  async function readRun(runId: string): Promise<RunView> {
    const run = await store.run(runId);
    if (run === undefined) throw new OpenlineError('RUN_UNKNOWN', `there is no run «${runId}»`);
    return run;
  }

  const readDispatches = async (runId: string, agentIds?: readonly string[]) =>
    (await store.dispatches(runId, agentIds)).map(withPresence);

  /**
   * A run that has ended may be seen before the ring that tells of its last dispatches, or these may have been read a moment earlier.
   * @param open those of the run that were not read as ended; they are now
   */
  async function completed(
    runId: string,
    dispatches: DispatchView[],
    open: ReadonlySet<string>,
  ): Promise<DispatchView[]> {
    if (open.size === 0) return dispatches;
    const rest = await readDispatches(runId, [...open]);
    return [...dispatches.filter(({ agentId }) => !open.has(agentId)), ...rest];
  }

  return {
    async get(runId) {
      const run = await readRun(runId);
      return { run, dispatches: await readDispatches(runId) };
    },

    async list({ limit, pageToken, openOnly, task }) {
      const [createdMs, id] = readPageToken(pageToken, SORTED_BY) ?? [];
      const before = createdMs === undefined || id === undefined ? undefined : { createdAt: new Date(createdMs), id };
      const runs = await store.list({ limit: limit + 1, before, openOnly, task });
      const page = runs.slice(0, limit);
      const last = page.at(-1);
      return {
        runs: page,
        nextPageToken:
          runs.length > limit && last !== undefined ? pageTokenOf([last.createdAt.getTime(), last.id]) : '',
      };
    },

    async *watch(runId, signal) {
      const changes = new Changes();
      // Subscribed before the first read, so that nothing falls between the two.
      const unsubscribe = hub.subscribe(runId, (agentIds) => changes.add(agentIds));
      try {
        /** Not yet said to have ended. */
        const open = new Set<string>();
        let [run, dispatches] = await Promise.all([readRun(runId), readDispatches(runId)]);
        for (const { agentId, endedAt } of dispatches) if (endedAt === undefined) open.add(agentId);
        yield { run, dispatches: run.endedAt === undefined ? dispatches : await completed(runId, dispatches, open) };
        while (run.endedAt === undefined) {
          if (run.targetCount > LARGE_RUN_TARGETS) await clock.sleep(LARGE_RUN_PAUSE_MS, signal);
          const changed = await changes.next(signal);
          if (changed === undefined) return;
          [run, dispatches] = await Promise.all([
            readRun(runId),
            changed.length === 0 ? [] : readDispatches(runId, changed),
          ]);
          for (const { agentId, endedAt } of dispatches) if (endedAt !== undefined) open.delete(agentId);
          yield { run, dispatches: run.endedAt === undefined ? dispatches : await completed(runId, dispatches, open) };
        }
      } finally {
        unsubscribe();
      }
    },

    async *readOutput({ runId, agentIds, follow, fromOffset }, signal) {
      await readRun(runId);
      const changes = new Changes();
      const unsubscribe = hub.subscribe(runId, (ids) => changes.add(ids));
      try {
        const wanted = agentIds.length === 0 ? undefined : agentIds;
        let open = await readDispatches(runId, wanted);
        const missing = agentIds.find((id) => !open.some((d) => d.agentId === id));
        if (missing !== undefined)
          throw new OpenlineError('AGENT_UNKNOWN', `agent «${missing}» is not a target of run ${runId}`);
        const positions = new Map(open.map((d) => [d.agentId, fromOffset]));
        for (;;) {
          const unfinished: DispatchView[] = [];
          for (const dispatch of open) {
            let position = positions.get(dispatch.agentId) ?? 0;
            while (position < dispatch.outputStoredBytes && !signal.aborted) {
              const page = await store.readOutput(runId, dispatch.agentId, position, OUTPUT_PAGE_ROWS);
              // Groomed meanwhile.
              if (page.length === 0) break;
              for (const chunk of page) {
                const skip = Math.max(0, position - chunk.offset);
                position = chunk.offset + chunk.data.length;
                yield {
                  agentId: dispatch.agentId,
                  agentName: dispatch.agentName,
                  offset: chunk.offset + skip,
                  stream: chunk.stream === 2 ? ('stderr' as const) : ('stdout' as const),
                  data: chunk.data.subarray(skip),
                  droppedBytes: 0,
                };
              }
            }
            positions.set(dispatch.agentId, position);
            const complete = isEnd(dispatch.state) && position >= dispatch.outputBytes;
            if (complete && dispatch.outputDroppedBytes > 0) {
              yield {
                agentId: dispatch.agentId,
                agentName: dispatch.agentName,
                offset: position,
                stream: 'stdout' as const,
                data: Buffer.alloc(0),
                droppedBytes: dispatch.outputDroppedBytes,
              };
            }
            if (!complete) unfinished.push(dispatch);
          }
          if (!follow || unfinished.length === 0 || signal.aborted) return;
          const onlyOutputMissing = unfinished.every((d) => isEnd(d.state));
          const waited = onlyOutputMissing ? AbortSignal.any([signal, AbortSignal.timeout(OUTPUT_WAIT_MS)]) : signal;
          if ((await changes.next(waited)) === undefined) return;
          open = await readDispatches(
            runId,
            unfinished.map((d) => d.agentId),
          );
        }
      } finally {
        unsubscribe();
      }
    },
  };
}
