import {
  type ReadOutputRequest,
  type ReadOutputResponse,
  RunServiceService,
  type WatchRunResponse,
} from '@openline/proto/operator';
import type { Method, OperatorClient } from '../client/client.ts';
import { isPassing, whyLost } from '../client/explain.ts';

/** A server restart takes seconds; after so long without one answer somebody must look. Milliseconds. */
const GIVE_UP_AFTER_MS = 120_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;

export interface Patience {
  readonly signal: AbortSignal;
  /** Said once per outage, and once when it is over. */
  readonly notice: (text: string) => void;
  readonly random?: () => number;
  readonly giveUpAfterMs?: number;
}

interface Outage {
  /** A stream that ended well before this is true was cut by a server that shuts down. */
  isOver(): boolean | Promise<boolean>;
  /** What is to be said when the connection is lost. */
  lost(why: string): string;
  /** What is to be said when it is there again. */
  readonly back: string;
  /** Without an answer at first, there is nothing to go on with. */
  readonly mustBegin: boolean;
  readonly giveUpAfterMs: number;
}

/**
 * A stream that is opened again whenever the connection is lost.
 * @param open begins (again); what it yields proves that the server is back
 * @throws OpenlineError what does not pass, at once; SERVER_UNREACHABLE after giveUpAfterMs without an answer
 */
async function* patiently<T>(open: () => AsyncIterable<T>, outage: Outage, patience: Patience): AsyncGenerator<T> {
  const { signal, notice, random = Math.random } = patience;
  let begun = !outage.mustBegin;
  let lostAtMs: number | undefined;
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    let why = 'the server closed the stream';
    try {
      for await (const item of open()) {
        if (lostAtMs !== undefined) notice(outage.back);
        begun = true;
        lostAtMs = undefined;
        waitMs = FIRST_WAIT_MS;
        yield item;
      }
      if (signal.aborted || (await outage.isOver())) return;
    } catch (error) {
      if (!begun || !isPassing(error)) throw error;
      if (lostAtMs !== undefined && performance.now() - lostAtMs > outage.giveUpAfterMs) throw error;
      why = whyLost(error);
    }
    if (lostAtMs === undefined) {
      lostAtMs = performance.now();
      notice(outage.lost(why));
    }
    await pause(waitMs * (0.5 + random() / 2), signal);
    if (signal.aborted) return;
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  }
}

function ofRun(isOver: Outage['isOver'], { giveUpAfterMs = GIVE_UP_AFTER_MS }: Patience): Outage {
  const forS = Math.round(giveUpAfterMs / 1000);
  const lost = (why: string) => `connection lost (${why}); trying again for ${forS} s. The run itself goes on.`;
  return { isOver, lost, back: 'the server is back', mustBegin: false, giveUpAfterMs };
}

/**
 * What has no end of its own, from now on until the signal aborts: however long the server is away.
 * @param request made anew each time that the stream is opened
 * @param back said when it is
 */
export function watchOn<Request, Response>(
  client: OperatorClient,
  method: Method<Request, Response>,
  request: () => Request,
  patience: Pick<Patience, 'signal' | 'notice'>,
  back = 'the server is back',
): AsyncGenerator<Response> {
  const lost = (why: string) => `connection lost (${why}); going on when the server is back`;
  const outage = { isOver: () => false, lost, back, mustBegin: true, giveUpAfterMs: Number.POSITIVE_INFINITY };
  return patiently(() => client.stream(method, request(), patience.signal), outage, patience);
}

/** Everything once, then changes, until the run has ended. Survives restarts of the server. */
export function watchRun(client: OperatorClient, runId: string, patience: Patience): AsyncGenerator<WatchRunResponse> {
  let ended = false;
  const open = async function* () {
    for await (const message of client.stream(RunServiceService.watchRun, { runId }, patience.signal)) {
      ended = (message.run?.endedUnixMs ?? 0n) > 0n;
      yield message;
    }
  };
  return patiently(
    open,
    ofRun(() => ended, patience),
    patience,
  );
}

/** Output from an offset on; each byte once, also when the server restarts in between. */
export function readOutput(
  client: OperatorClient,
  query: { runId: string; agentIds: string[]; follow: boolean; fromOffset: number },
  patience: Patience,
  isDone: () => boolean | Promise<boolean> = () => true,
): AsyncGenerator<ReadOutputResponse> {
  const next = new Map<string, bigint>();
  const marked = new Set<string>();
  const only = query.agentIds.length === 1 ? query.agentIds[0] : undefined;
  const open = async function* () {
    const from = only === undefined ? BigInt(query.fromOffset) : (next.get(only) ?? BigInt(query.fromOffset));
    const request: ReadOutputRequest = {
      runId: query.runId,
      agentIds: query.agentIds,
      follow: query.follow,
      fromOffset: from,
    };
    for await (const part of client.stream(RunServiceService.readOutput, request, patience.signal)) {
      const seen = next.get(part.agentId) ?? 0n;
      const end = part.offset + BigInt(part.data.length);
      const fresh = part.offset >= seen ? part.data : part.data.subarray(Number(seen - part.offset));
      if (end > seen) next.set(part.agentId, end);
      const droppedBytes = marked.has(part.agentId) ? 0n : part.droppedBytes;
      if (droppedBytes > 0n) marked.add(part.agentId);
      if (fresh.length > 0 || droppedBytes > 0n) yield { ...part, data: fresh, droppedBytes };
    }
  };
  return patiently(open, ofRun(isDone, patience), patience);
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
