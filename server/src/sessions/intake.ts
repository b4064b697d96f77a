import { TaskEnd, type TaskOutput, type TaskReports } from '@openline/proto/agent';
import { isErrorCode } from '@openline/proto/errors';
import { MAX_LABEL_CHARS, MAX_OUTPUT_BYTES, MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';
import type { DispatchChange, EndState } from '../runs/dispatch.ts';
import type { OutputChunk } from '../runs/run-store.ts';
import { MAX_REFERENCES } from '../runs/wire.ts';

/** Turns what an agent reports into what the domain knows: parsed once, here; bounded, because an agent may be anybody's. */

const END_STATES = {
  [TaskEnd.TASK_END_SUCCEEDED]: 'succeeded',
  [TaskEnd.TASK_END_FAILED]: 'failed',
  [TaskEnd.TASK_END_TIMED_OUT]: 'timed_out',
  [TaskEnd.TASK_END_CANCELLED]: 'cancelled',
  [TaskEnd.TASK_END_EXPIRED]: 'expired',
  [TaskEnd.TASK_END_REJECTED]: 'rejected',
  [TaskEnd.TASK_END_LOST]: 'lost',
} as const satisfies Partial<Record<TaskEnd, EndState>>;

const MAX_REASON_CHARS = 2_000;
const MAX_NOTE_CHARS = 200;
const MAX_VIEW_CHARS = 20;
const MAX_PARAMETER_CHARS = 64;
const RUN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Dates that PostgreSQL and people can read: until the year 9999. */
const MAX_UNIX_MS = 253_402_300_799_000n;

type Ids = { readonly agentId: string; readonly epoch: number };

/** @returns what is wrong with the message, when something is */
export function changesOf(reports: TaskReports, { agentId, epoch }: Ids): DispatchChange[] | string {
  const changes: DispatchChange[] = [];
  const ended = new Set(reports.results.map((result) => result.runId));
  for (const { runId, atUnixMs } of reports.accepted) {
    if (!RUN_ID.test(runId)) return 'accepted: not a run id';
    if (!ended.has(runId)) changes.push({ runId, agentId, epoch, state: 'accepted', acceptedAt: dateOf(atUnixMs) });
  }
  for (const { runId, atUnixMs, parametersFrom } of reports.started) {
    if (!RUN_ID.test(runId)) return 'started: not a run id';
    if (ended.has(runId)) continue;
    const startedAt = dateOf(atUnixMs);
    changes.push({ runId, agentId, epoch, state: 'running', startedAt, parametersFrom: filledInOf(parametersFrom) });
  }
  for (const { runId, percent, note } of reports.progress) {
    if (!RUN_ID.test(runId)) return 'progress: not a run id';
    const progressPercent = percent === undefined ? undefined : Math.min(percent, 100);
    changes.push({
      runId,
      agentId,
      epoch,
      state: 'running',
      progressPercent,
      progressNote: text(note, MAX_NOTE_CHARS),
    });
  }
  for (const result of reports.results) {
    if (!RUN_ID.test(result.runId)) return 'result: not a run id';
    const state = endStateOf(result.end);
    if (state === undefined) return `result: ${result.end} is not an end`;
    changes.push({
      runId: result.runId,
      agentId,
      epoch,
      state,
      reasonCode: isErrorCode(result.reasonCode) ? result.reasonCode : '',
      reason: text(result.reason, MAX_REASON_CHARS),
      exitCode: result.exitCode,
      signal: text(result.signal, 20),
      acceptedAt: dateOf(result.acceptedUnixMs),
      startedAt: dateOf(result.startedUnixMs),
      endedAt: dateOf(result.endedUnixMs),
      outputBytes: count(result.outputBytes),
      outputDroppedBytes: count(result.outputDroppedBytes),
      view: text(result.view, MAX_VIEW_CHARS),
      parametersFrom: filledInOf(result.parametersFrom),
    });
  }
  return changes;
}

export function chunkOf(output: TaskOutput, agentId: string): OutputChunk | string {
  if (!RUN_ID.test(output.runId)) return 'output: not a run id';
  if (output.stream !== 1 && output.stream !== 2) return 'output: neither stdout nor stderr';
  if (output.data.length === 0 || output.data.length > MAX_OUTPUT_CHUNK_BYTES) {
    return `output: a chunk of ${output.data.length} bytes; 1 to ${MAX_OUTPUT_CHUNK_BYTES} are allowed`;
  }
  if (output.offset + BigInt(output.data.length) > BigInt(MAX_OUTPUT_BYTES)) {
    return `output: beyond the ${MAX_OUTPUT_BYTES} bytes that are kept of a dispatch`;
  }
  return { runId: output.runId, agentId, offset: Number(output.offset), stream: output.stream, data: output.data };
}

/** Values of labels and facts, of no more parameters than a run may name. */
function filledInOf(said: Readonly<Record<string, string>>): Record<string, string> | undefined {
  const entries = Object.entries(said).slice(0, MAX_REFERENCES);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(
    entries.map(([name, value]) => [text(name, MAX_PARAMETER_CHARS), text(value, MAX_LABEL_CHARS)]),
  );
}

function endStateOf(end: TaskEnd): EndState | undefined {
  return end === TaskEnd.TASK_END_UNSPECIFIED || end === TaskEnd.UNRECOGNIZED ? undefined : END_STATES[end];
}

export function dateOf(unixMs: bigint): Date | undefined {
  return unixMs > 0n && unixMs < MAX_UNIX_MS ? new Date(Number(unixMs)) : undefined;
}

export function count(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

/** PostgreSQL's text has no NUL, and one statement stores what many agents said. */
export function text(value: string, maxChars: number): string {
  return value.replaceAll('\0', '�').slice(0, maxChars);
}

/** Labels and facts, bounded. @returns what is wrong, when something is */
export function attributesOf(
  what: string,
  map: ReadonlyMap<string, string> | Record<string, string>,
  maxEntries: number,
  maxChars: number,
): Record<string, string> | string {
  const entries = map instanceof Map ? [...map] : Object.entries(map);
  if (entries.length > maxEntries) return `Hello has ${entries.length} ${what}; ${maxEntries} are allowed`;
  for (const [key, value] of entries) {
    if (key === '' || key.length > maxChars || value.length > maxChars)
      return `Hello has one of the ${what} empty or longer than ${maxChars} characters`;
  }
  return Object.fromEntries(entries.map(([key, value]) => [text(key, maxChars), text(value, maxChars)]));
}
