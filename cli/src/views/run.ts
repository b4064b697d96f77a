import {
  type Dispatch,
  DispatchState,
  OfflinePolicy,
  type PreviewRunResponse,
  type Run,
} from '@openline/proto/operator';
import { iso, json, number } from './values.ts';

export const STATE_NAMES = [
  'queued',
  'sent',
  'accepted',
  'running',
  'succeeded',
  'failed',
  'timed_out',
  'cancelled',
  'expired',
  'rejected',
  'lost',
] as const;
export type StateName = (typeof STATE_NAMES)[number];

/** "unknown": a newer server's state. */
export type StateView = StateName | 'unknown';

const OPEN: ReadonlySet<StateView> = new Set<StateView>(['queued', 'sent', 'accepted', 'running', 'unknown']);
export function isOpen(state: StateView): boolean {
  return OPEN.has(state);
}

const NAME_OF: ReadonlyMap<number, StateName> = new Map(
  STATE_NAMES.map((name) => [DispatchState[`DISPATCH_STATE_${name.toUpperCase() as Uppercase<StateName>}`], name]),
);

export function stateView(state: DispatchState): StateView {
  return NAME_OF.get(state) ?? 'unknown';
}

/** A run as `-o json` shows it. Public: fields are added, never renamed or removed. Times are ISO 8601 in UTC, null when there is none. */
export interface RunView {
  id: string;
  /** "pack/task" */
  task: string;
  packVersion: string;
  /** The target expression as it was given. */
  targets: string;
  parameters: unknown;
  /** Parameters that each agent puts in itself: by name, "label:KEY", "fact:KEY" or "name". */
  parametersFrom: Record<string, string>;
  /** null: the task's own. */
  timeoutMs: number | null;
  ttlMs: number | null;
  offline: 'fail' | 'wait';
  requestedBy: string;
  createdAt: string | null;
  expiresAt: string | null;
  endedAt: string | null;
  cancelledBy: string | null;
  retryOf: string | null;
  /** open: some dispatch has not ended. succeeded: every one did. failed: at least one ended otherwise. */
  outcome: 'open' | 'succeeded' | 'failed';
  targetCount: number;
  /** How many dispatches are in which state; only states that occur. */
  counts: Partial<Record<StateView, number>>;
}

/** One target of a run. */
export interface DispatchView {
  agentId: string;
  agent: string;
  agentOnline: boolean;
  state: StateView;
  /** A code of docs/errors.md; null when there is nothing to explain. */
  reasonCode: string | null;
  reason: string | null;
  exitCode: number | null;
  signal: string | null;
  queuedAt: string | null;
  sentAt: string | null;
  acceptedAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  /** From start to end; null until it has ended. */
  durationMs: number | null;
  progressPercent: number | null;
  progressNote: string | null;
  outputBytes: number;
  /** Bytes past the cap, which nobody kept. */
  outputDroppedBytes: number;
  /** What its process saw: machine, container, host-read or host; null before it has ended, and when no process was started. */
  view: string | null;
  /** What the agent put into parameters itself, as text; null where the run asks for none, before it has started, and where the agent did not report it. */
  parametersFrom: Record<string, string> | null;
}

/** The document of `openline run`, `runs show` and `runs watch`. */
export interface RunDocument extends RunView {
  dispatches: (DispatchView & { stdout?: string; stderr?: string })[];
}

export function runView(run: Run): RunView {
  const counts: RunView['counts'] = {};
  for (const { state, count } of run.counts) counts[stateView(state)] = (counts[stateView(state)] ?? 0) + count;
  const ended = number(run.endedUnixMs) > 0;
  const spec = run.spec;
  return {
    id: run.id,
    task: `${run.packName}/${run.taskName}`,
    packVersion: run.packVersion,
    targets: spec?.targets ?? '',
    parameters: json(spec?.parametersJson ?? '', {}),
    parametersFrom: { ...spec?.parametersFrom },
    timeoutMs: spec?.timeoutMs || null,
    ttlMs: number(spec?.ttlMs ?? 0n) || null,
    offline: spec?.offline === OfflinePolicy.OFFLINE_POLICY_WAIT ? 'wait' : 'fail',
    requestedBy: run.requestedBy,
    createdAt: iso(run.createdUnixMs),
    expiresAt: iso(run.expiresUnixMs),
    endedAt: iso(run.endedUnixMs),
    cancelledBy: run.cancelledBy || null,
    retryOf: run.retryOf || null,
    outcome: !ended ? 'open' : (counts.succeeded ?? 0) === run.targetCount ? 'succeeded' : 'failed',
    targetCount: run.targetCount,
    counts,
  };
}

export function dispatchView(dispatch: Dispatch): DispatchView {
  const started = number(dispatch.startedUnixMs);
  const ended = number(dispatch.endedUnixMs);
  return {
    agentId: dispatch.agentId,
    agent: dispatch.agentName,
    agentOnline: dispatch.agentOnline,
    state: stateView(dispatch.state),
    reasonCode: dispatch.reasonCode || null,
    reason: dispatch.reason || null,
    exitCode: dispatch.exitCode ?? null,
    signal: dispatch.signal || null,
    queuedAt: iso(dispatch.queuedUnixMs),
    sentAt: iso(dispatch.sentUnixMs),
    acceptedAt: iso(dispatch.acceptedUnixMs),
    startedAt: iso(dispatch.startedUnixMs),
    endedAt: iso(dispatch.endedUnixMs),
    durationMs: started > 0 && ended > 0 ? Math.max(0, ended - started) : null,
    progressPercent: dispatch.progressPercent ?? null,
    progressNote: dispatch.progressNote || null,
    outputBytes: number(dispatch.outputBytes) || number(dispatch.outputStoredBytes),
    outputDroppedBytes: number(dispatch.outputDroppedBytes),
    view: dispatch.view || null,
    parametersFrom: Object.keys(dispatch.parametersFrom).length === 0 ? null : { ...dispatch.parametersFrom },
  };
}

/** What a run would do (`openline run --dry-run`). */
export interface PreviewView {
  task: string;
  packVersion: string;
  /** With the defaults filled in. */
  parameters: unknown;
  targets: {
    agentId: string;
    agent: string;
    online: boolean;
    holdsPack: boolean;
    /** What it would put in itself, as text, as far as the server knows. */
    parametersFrom: Record<string, string>;
    /** null: it would run. */
    wouldReject: { code: string; reason: string } | null;
  }[];
}

export function previewView(preview: PreviewRunResponse): PreviewView {
  return {
    task: preview.task,
    packVersion: preview.packVersion,
    parameters: json(preview.parametersJson, {}),
    targets: preview.targets.map((target) => ({
      agentId: target.agentId,
      agent: target.agentName,
      online: target.online,
      holdsPack: target.holdsPack,
      parametersFrom: { ...target.parametersFrom },
      wouldReject:
        target.wouldRejectCode === '' ? null : { code: target.wouldRejectCode, reason: target.wouldRejectReason },
    })),
  };
}
