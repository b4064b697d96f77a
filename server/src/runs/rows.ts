import type { Selectable } from 'kysely';
import type { DispatchesTable, RunsTable } from '../db/schema.ts';
import { type DispatchState, stateOf } from './dispatch.ts';
import type { DispatchView, RunView } from './run-service.ts';

/** With the counts of one that has not ended. */
export type RunRow = Selectable<RunsTable> & { readonly live_counts: Record<string, number> | null };
export type DispatchRow = Selectable<DispatchesTable>;

export function toRunView(row: RunRow): RunView {
  const counts = new Map<DispatchState, number>();
  for (const [state, count] of Object.entries(row.counts ?? row.live_counts ?? {}))
    counts.set(stateOf(Number(state)), count);
  return {
    id: row.id,
    spec: {
      task: row.task,
      targets: row.targets,
      parameters: JSON.parse(row.parameters),
      parametersFrom: row.parameters_from ?? undefined,
      timeoutMs: row.timeout_ms,
      ttlMs: row.ttl_ms,
      offline: row.offline,
    },
    parametersJson: row.parameters,
    packName: row.pack_name,
    packVersion: row.pack_version,
    taskName: row.task_name,
    timeoutMs: row.timeout_ms,
    ttlMs: row.ttl_ms,
    requestedBy: row.requested_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at ?? undefined,
    cancelledBy: row.cancelled_by,
    retryOf: row.retry_of ?? undefined,
    targetCount: row.target_count,
    counts,
  };
}

export function toDispatchView(row: DispatchRow): DispatchView {
  return {
    runId: row.run_id,
    agentId: row.agent_id,
    agentName: row.agent_name,
    state: stateOf(row.state),
    reasonCode: row.reason_code,
    reason: row.reason,
    exitCode: row.exit_code ?? undefined,
    signal: row.signal,
    queuedAt: row.queued_at,
    sentAt: row.sent_at ?? undefined,
    acceptedAt: row.accepted_at ?? undefined,
    startedAt: row.started_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
    progressPercent: row.progress_percent ?? undefined,
    progressNote: row.progress_note,
    outputBytes: row.output_bytes,
    outputDroppedBytes: row.output_dropped_bytes,
    outputStoredBytes: row.output_stored_bytes,
    view: row.view,
    parametersFrom: row.parameters_from ?? undefined,
    agentOnline: false,
  };
}
