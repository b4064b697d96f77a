import type { ErrorCode } from '@openline/proto/errors';

/**
 * The life of a dispatch (DESIGN §5). Numbers are stored; their order is the order of life, and the store's guard
 * (`run-store.ts`, TAKES_SQL) says in SQL what `takes` says here; a property test holds them together.
 */
export const STATES = {
  queued: 0,
  sent: 1,
  accepted: 2,
  running: 3,
  succeeded: 10,
  failed: 11,
  timed_out: 12,
  cancelled: 13,
  expired: 14,
  rejected: 15,
  lost: 16,
} as const;
export type DispatchState = keyof typeof STATES;
export type EndState = 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'expired' | 'rejected' | 'lost';

/** The first number that means an end. */
export const FIRST_END = 10;

const BY_NUMBER: ReadonlyMap<number, DispatchState> = new Map(
  Object.entries(STATES).map(([name, number]) => [number, name as DispatchState]),
);

export function stateOf(number: number): DispatchState {
  const state = BY_NUMBER.get(number);
  if (state === undefined) throw new Error(`no dispatch state has the number ${number}`);
  return state;
}

export function isEnd(state: DispatchState): state is EndState {
  return STATES[state] >= FIRST_END;
}

/**
 * Whether a dispatch in `current` takes on `next`. Life only goes forward, and an end stays. One exception: `lost` means that nobody
 * knew, so what the agent itself reports later replaces it (ADR 0003).
 */
export function takes(current: DispatchState, next: DispatchState): boolean {
  if (!isEnd(current)) return STATES[next] > STATES[current];
  return current === 'lost' && isEnd(next) && next !== 'lost';
}

/** What became known of one dispatch. Several that wait together are merged into one. */
export interface DispatchChange {
  readonly runId: string;
  readonly agentId: string;
  /** Epoch of the session that said it; 0: the server itself. A change from an older epoch is refused. */
  readonly epoch: number;
  readonly state: DispatchState;
  readonly reasonCode?: ErrorCode | '' | undefined;
  readonly reason?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly acceptedAt?: Date | undefined;
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
  readonly progressPercent?: number | undefined;
  readonly progressNote?: string | undefined;
  readonly outputBytes?: number | undefined;
  readonly outputDroppedBytes?: number | undefined;
  /** What its process saw, as the agent says it. */
  readonly view?: string | undefined;
  /** What the agent put into parameters itself, as text. */
  readonly parametersFrom?: Readonly<Record<string, string>> | undefined;
}

/** Two changes of one dispatch, in the order they were said, as one. */
export function mergeChanges(first: DispatchChange, then: DispatchChange): DispatchChange {
  const [base, over] = takes(first.state, then.state) || first.state === then.state ? [first, then] : [then, first];
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) if (value !== undefined) merged[key] = value;
  return { ...(merged as unknown as DispatchChange), epoch: Math.max(first.epoch, then.epoch) };
}

/** Whether an agent can be handed a task now: it is connected and a place in its queue was taken for it, or it has none, or it is away. */
export type Place = 'taken' | 'full' | 'offline';

/** What is known of a target when a run is submitted. */
export interface Target {
  readonly agentId: string;
  readonly place: Place;
  /** Why the target can never run it, if so. */
  readonly unfit: { readonly code: ErrorCode; readonly reason: string } | undefined;
}

/**
 * The state in which a dispatch is born. A connected target's is born `sent`: sent means "may have reached the agent", and
 * nothing is handed over before that is on disk, so that `queued` means for certain that no agent ever saw it (ADR 0004).
 * A target that has no room is not away: the run waits for it, whatever the run says of those that are.
 */
export function initialState(
  target: Target,
  offline: 'fail' | 'wait',
): { state: 'queued' | 'sent' | 'rejected'; reasonCode: ErrorCode | ''; reason: string } {
  if (target.unfit !== undefined)
    return { state: 'rejected', reasonCode: target.unfit.code, reason: target.unfit.reason };
  if (target.place === 'taken') return { state: 'sent', reasonCode: '', reason: '' };
  if (target.place === 'full' || offline === 'wait') return { state: 'queued', reasonCode: '', reason: '' };
  return {
    state: 'rejected',
    reasonCode: 'AGENT_OFFLINE',
    reason: 'the agent was not connected when the run was submitted',
  };
}

/** An open dispatch that its agent may have seen, as the store remembers it when the agent says Hello. */
export interface OpenDispatch {
  readonly runId: string;
  readonly agentId: string;
  readonly state: 'sent' | 'accepted' | 'running';
  readonly runCancelled: boolean;
  readonly expired: boolean;
}

export type HelloVerdict =
  | { readonly kind: 'send' }
  /** The agent knows it and will say so itself. */
  | { readonly kind: 'await' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'end'; readonly state: EndState; readonly reasonCode: ErrorCode; readonly reason: string };

/**
 * What becomes of an open dispatch when its agent opens a session. A replaced journal was dealt with before: whatever the old one may have
 * started has ended as `lost`.
 * @param known the agent's journal names the run
 * @param sameProcess the process is the one that had the session before. Then its Hello proves nothing of what it does not name: that may have
 * come over the old stream while the new one was being opened. It says itself what it knows, and recognises what comes twice.
 */
export function onHello(dispatch: OpenDispatch, known: boolean, sameProcess: boolean): HelloVerdict {
  const sawIt = known || (sameProcess && dispatch.state !== 'sent');
  if (sawIt) return dispatch.runCancelled ? { kind: 'cancel' } : { kind: 'await' };
  if (sameProcess && dispatch.state === 'sent') return { kind: dispatch.runCancelled ? 'cancel' : 'send' };
  if (dispatch.state === 'sent') {
    if (dispatch.runCancelled) {
      return {
        kind: 'end',
        state: 'cancelled',
        reasonCode: 'TASK_CANCELLED',
        reason: 'cancelled before it reached the agent',
      };
    }
    if (dispatch.expired) {
      return {
        kind: 'end',
        state: 'expired',
        reasonCode: 'TTL_EXPIRED',
        reason: 'the agent came back after the run’s time to live',
      };
    }
    return { kind: 'send' };
  }
  return {
    kind: 'end',
    state: 'lost',
    reasonCode: 'JOURNAL_REPLACED',
    reason: 'the agent’s journal no longer knows it, so nobody can know whether or how it ran',
  };
}
