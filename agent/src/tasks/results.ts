import { TaskEnd, type TaskResult } from '@openline/proto/agent';
import type { ViewName } from '../host/view.ts';
import type { End, Ending } from './dispatch-machine.ts';

const ENDS: Readonly<Record<End, TaskEnd>> = {
  succeeded: TaskEnd.TASK_END_SUCCEEDED,
  failed: TaskEnd.TASK_END_FAILED,
  timed_out: TaskEnd.TASK_END_TIMED_OUT,
  cancelled: TaskEnd.TASK_END_CANCELLED,
  expired: TaskEnd.TASK_END_EXPIRED,
  rejected: TaskEnd.TASK_END_REJECTED,
  lost: TaskEnd.TASK_END_LOST,
};

/** A schema's error may repeat much of what was sent. */
const MAX_REASON_CHARS = 1_000;

export interface ResultFacts {
  readonly runId: string;
  readonly acceptedUnixMs: number;
  /** 0: it never started. */
  readonly startedUnixMs: number;
  readonly endedUnixMs: number;
  readonly outputBytes: number;
  readonly droppedBytes: number;
  /** Why output is missing, when it is not the cap. */
  readonly outputFault: string;
  /** Default: no process was started. */
  readonly view?: ViewName | '';
  /** What the agent put in itself. Default: nothing. */
  readonly parametersFrom?: Record<string, string>;
}

/** Pure. */
export function resultOf(ending: Ending, facts: ResultFacts): TaskResult {
  const missing =
    facts.outputFault === '' ? '' : `${facts.droppedBytes} bytes of output were not kept: ${facts.outputFault}`;
  return {
    runId: facts.runId,
    end: ENDS[ending.end],
    exitCode: ending.exitCode,
    signal: ending.signal ?? '',
    reasonCode: ending.code,
    reason: [ending.reason, missing]
      .filter((part) => part !== '')
      .join('; ')
      .slice(0, MAX_REASON_CHARS),
    acceptedUnixMs: BigInt(Math.trunc(facts.acceptedUnixMs)),
    startedUnixMs: BigInt(Math.trunc(facts.startedUnixMs)),
    endedUnixMs: BigInt(Math.trunc(facts.endedUnixMs)),
    outputBytes: BigInt(facts.outputBytes),
    outputDroppedBytes: BigInt(facts.droppedBytes),
    view: facts.view ?? '',
    parametersFrom: facts.parametersFrom ?? {},
  };
}
