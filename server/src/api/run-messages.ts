import * as proto from '@openline/proto/operator';
import type { DispatchState } from '../runs/dispatch.ts';
import type { DispatchView, OutputPart, PreviewTarget, RunView } from '../runs/run-service.ts';
import { unixMs } from './times.ts';

const STATE = {
  queued: proto.DispatchState.DISPATCH_STATE_QUEUED,
  sent: proto.DispatchState.DISPATCH_STATE_SENT,
  accepted: proto.DispatchState.DISPATCH_STATE_ACCEPTED,
  running: proto.DispatchState.DISPATCH_STATE_RUNNING,
  succeeded: proto.DispatchState.DISPATCH_STATE_SUCCEEDED,
  failed: proto.DispatchState.DISPATCH_STATE_FAILED,
  timed_out: proto.DispatchState.DISPATCH_STATE_TIMED_OUT,
  cancelled: proto.DispatchState.DISPATCH_STATE_CANCELLED,
  expired: proto.DispatchState.DISPATCH_STATE_EXPIRED,
  rejected: proto.DispatchState.DISPATCH_STATE_REJECTED,
  lost: proto.DispatchState.DISPATCH_STATE_LOST,
} as const satisfies Record<DispatchState, proto.DispatchState>;

const OFFLINE = {
  fail: proto.OfflinePolicy.OFFLINE_POLICY_FAIL,
  wait: proto.OfflinePolicy.OFFLINE_POLICY_WAIT,
} as const;

const OUTPUT_KIND = {
  stdout: proto.OutputKind.OUTPUT_KIND_STDOUT,
  stderr: proto.OutputKind.OUTPUT_KIND_STDERR,
} as const;

export function runMessage(run: RunView): proto.Run {
  return {
    id: run.id,
    spec: {
      task: run.spec.task,
      targets: run.spec.targets,
      parametersJson: run.parametersJson,
      timeoutMs: run.timeoutMs,
      ttlMs: BigInt(run.ttlMs),
      offline: OFFLINE[run.spec.offline],
      parametersFrom: { ...run.spec.parametersFrom },
    },
    packName: run.packName,
    packVersion: run.packVersion,
    taskName: run.taskName,
    requestedBy: run.requestedBy,
    createdUnixMs: unixMs(run.createdAt),
    endedUnixMs: unixMs(run.endedAt),
    expiresUnixMs: unixMs(run.expiresAt),
    cancelledBy: run.cancelledBy,
    retryOf: run.retryOf ?? '',
    counts: [...run.counts].filter(([, count]) => count > 0).map(([state, count]) => ({ state: STATE[state], count })),
    targetCount: run.targetCount,
  };
}

export function dispatchMessage(dispatch: DispatchView): proto.Dispatch {
  return {
    agentId: dispatch.agentId,
    agentName: dispatch.agentName,
    state: STATE[dispatch.state],
    reasonCode: dispatch.reasonCode,
    reason: dispatch.reason,
    exitCode: dispatch.exitCode,
    signal: dispatch.signal,
    queuedUnixMs: unixMs(dispatch.queuedAt),
    sentUnixMs: unixMs(dispatch.sentAt),
    acceptedUnixMs: unixMs(dispatch.acceptedAt),
    startedUnixMs: unixMs(dispatch.startedAt),
    endedUnixMs: unixMs(dispatch.endedAt),
    progressPercent: dispatch.progressPercent,
    progressNote: dispatch.progressNote,
    outputBytes: BigInt(dispatch.outputBytes),
    outputDroppedBytes: BigInt(dispatch.outputDroppedBytes),
    outputStoredBytes: BigInt(dispatch.outputStoredBytes),
    agentOnline: dispatch.agentOnline,
    view: dispatch.view,
    parametersFrom: { ...dispatch.parametersFrom },
  };
}

export function previewTargetMessage(target: PreviewTarget): proto.PreviewTarget {
  return {
    agentId: target.agentId,
    agentName: target.agentName,
    online: target.online,
    holdsPack: target.holdsPack,
    parametersFrom: { ...target.parametersFrom },
    wouldRejectCode: target.wouldReject?.code ?? '',
    wouldRejectReason: target.wouldReject?.reason ?? '',
  };
}

export function outputMessage(part: OutputPart): proto.ReadOutputResponse {
  return {
    agentId: part.agentId,
    agentName: part.agentName,
    offset: BigInt(part.offset),
    kind: OUTPUT_KIND[part.stream],
    data: part.data,
    droppedBytes: BigInt(part.droppedBytes),
  };
}
