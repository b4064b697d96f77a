import type { Principal } from '../access/access.ts';
import type { DispatchState } from './dispatch.ts';
import type { ParametersFrom } from './wire.ts';

export interface RunSpec {
  /** "pack/task" or "pack@version/task" */
  readonly task: string;
  readonly targets: string;
  readonly parameters: unknown;
  /** Those that each agent puts in itself. */
  readonly parametersFrom?: ParametersFrom | undefined;
  /** undefined: the task's own */
  readonly timeoutMs: number | undefined;
  /** undefined: the server's default */
  readonly ttlMs: number | undefined;
  readonly offline: 'fail' | 'wait';
}

export interface RunView {
  readonly id: string;
  readonly spec: RunSpec;
  /** The parameters as JSON text, defaults filled in. */
  readonly parametersJson: string;
  readonly packName: string;
  readonly packVersion: string;
  readonly taskName: string;
  readonly timeoutMs: number;
  readonly ttlMs: number;
  readonly requestedBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | undefined;
  readonly cancelledBy: string;
  readonly retryOf: string | undefined;
  readonly targetCount: number;
  readonly counts: ReadonlyMap<DispatchState, number>;
}

export interface DispatchView {
  readonly runId: string;
  readonly agentId: string;
  readonly agentName: string;
  readonly state: DispatchState;
  readonly reasonCode: string;
  readonly reason: string;
  readonly exitCode: number | undefined;
  readonly signal: string;
  readonly queuedAt: Date;
  readonly sentAt: Date | undefined;
  readonly acceptedAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly progressPercent: number | undefined;
  readonly progressNote: string;
  readonly outputBytes: number;
  readonly outputDroppedBytes: number;
  /** What its process saw; "" before it has ended, and where none was started. */
  readonly view: string;
  /** What the agent put into parameters itself, as text; undefined before it has said so. */
  readonly parametersFrom: Readonly<Record<string, string>> | undefined;
  readonly outputStoredBytes: number;
  readonly agentOnline: boolean;
}

export interface PreviewTarget {
  readonly agentId: string;
  readonly agentName: string;
  readonly online: boolean;
  readonly holdsPack: boolean;
  /** What the agent would put in, as far as is known here. */
  readonly parametersFrom: Readonly<Record<string, string>>;
  /** undefined: it would run. */
  readonly wouldReject: { readonly code: string; readonly reason: string } | undefined;
}

export interface OutputPart {
  readonly agentId: string;
  readonly agentName: string;
  readonly offset: number;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
  /** > 0 only in the last part of a dispatch whose output was cut. */
  readonly droppedBytes: number;
}

export interface RunService {
  /**
   * Commits the run and all of its dispatches, then returns.
   * @throws OpenlineError REQUEST_INVALID, TARGETS_INVALID, NO_TARGETS, PACK_UNKNOWN, TASK_UNKNOWN, PARAMETERS_INVALID, IDEMPOTENCY_CONFLICT, STORE_UNAVAILABLE
   */
  submit(
    by: Principal,
    spec: RunSpec,
    options?: { idempotencyKey?: string },
  ): Promise<{ run: RunView; existing: boolean }>;
  preview(spec: RunSpec): Promise<{ packVersion: string; parametersJson: string; targets: PreviewTarget[] }>;
  /** @throws OpenlineError RUN_UNKNOWN */
  get(runId: string): Promise<{ run: RunView; dispatches: DispatchView[] }>;
  list(query: {
    limit: number;
    pageToken: string;
    openOnly: boolean;
    task: string;
  }): Promise<{ runs: RunView[]; nextPageToken: string }>;
  /** First item: everything. Then changes. Ends when the run has ended. */
  watch(runId: string, signal: AbortSignal): AsyncIterable<{ run: RunView; dispatches: DispatchView[] }>;
  readOutput(
    query: { runId: string; agentIds: readonly string[]; follow: boolean; fromOffset: number },
    signal: AbortSignal,
  ): AsyncIterable<OutputPart>;
  cancel(by: Principal, runId: string): Promise<RunView>;
  /** @throws OpenlineError RUN_UNKNOWN, REQUEST_INVALID nothing to retry */
  retry(by: Principal, runId: string, idempotencyKey?: string): Promise<{ run: RunView; existing: boolean }>;
}
