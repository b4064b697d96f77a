import type { ErrorCode } from '@openline/proto/errors';

/** The life of one dispatch at the agent, as a pure state machine. The engine performs the actions. */
export type Dispatch =
  /** Its `accepted` record is on the way to disk; with `holdsSlot` its `started` record travels along, so that one sync covers both. */
  | { readonly kind: 'accepting'; readonly holdsSlot: boolean; readonly stop: Stop | undefined }
  | { readonly kind: 'waiting'; readonly for: WaitsFor }
  /** It has a slot; its `started` record is on the way to disk. */
  | { readonly kind: 'starting'; readonly stop: Stop | undefined }
  | { readonly kind: 'running'; readonly stop: Stop | undefined }
  | { readonly kind: 'ended'; readonly ending: Ending }
  /** The server has the result. */
  | { readonly kind: 'committed' };

export type WaitsFor = 'pack' | 'slot';

export type End = 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'expired' | 'rejected' | 'lost';

export interface Ending {
  readonly end: End;
  readonly code: ErrorCode | '';
  readonly reason: string;
  readonly exitCode?: number;
  readonly signal?: string;
}

/** Why it is being stopped; it becomes the ending, whatever the process makes of it. */
export interface Stop {
  readonly end: End;
  readonly code: ErrorCode;
  readonly reason: string;
}

export type Input =
  | { readonly kind: 'accepted'; readonly waitsFor: WaitsFor }
  | { readonly kind: 'journalFailed'; readonly reason: string }
  | { readonly kind: 'packReady' }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly reason: string }
  | { readonly kind: 'slot' }
  | { readonly kind: 'startJournalled' }
  | { readonly kind: 'stop'; readonly stop: Stop }
  | { readonly kind: 'exited'; readonly ending: Ending }
  | { readonly kind: 'committed' };

/**
 * sayAccepted: report it. enqueue: it waits for a slot. journalStart: write and sync `started`. launch: start the process (the only action that
 * does). kill: stop the process group. finish: journal and report the ending, give back the slot. forget: the result may go.
 */
export type Action = 'sayAccepted' | 'enqueue' | 'journalStart' | 'launch' | 'kill' | 'finish' | 'forget';

type Step = readonly [Dispatch, readonly Action[]];

export function accepting(holdsSlot: boolean): Dispatch {
  return { kind: 'accepting', holdsSlot, stop: undefined };
}

/** Pure. Input that means nothing in this state changes nothing. */
export function step(d: Dispatch, input: Input): Step {
  switch (d.kind) {
    case 'accepting':
      return whenAccepting(d, input);
    case 'waiting':
      return whenWaiting(d, input);
    case 'starting':
      return whenStarting(d, input);
    case 'running':
      return whenRunning(d, input);
    case 'ended':
      return input.kind === 'committed' ? [{ kind: 'committed' }, ['forget']] : [d, []];
    case 'committed':
      return [d, []];
    default:
      return d satisfies never;
  }
}

function whenAccepting(d: Extract<Dispatch, { kind: 'accepting' }>, input: Input): Step {
  switch (input.kind) {
    case 'accepted':
      if (d.stop !== undefined) return ended(d.stop, ['sayAccepted']);
      if (d.holdsSlot) return [{ kind: 'running', stop: undefined }, ['sayAccepted', 'launch']];
      return [
        { kind: 'waiting', for: input.waitsFor },
        input.waitsFor === 'slot' ? ['sayAccepted', 'enqueue'] : ['sayAccepted'],
      ];
    case 'journalFailed':
      return ended({ end: 'rejected', code: 'JOURNAL_FAILED', reason: input.reason });
    case 'stop':
      // Its records may be on disk already, so the ending waits for the write to come back: nothing is said that the journal does not know.
      return [{ ...d, stop: d.stop ?? input.stop }, []];
    default:
      return [d, []];
  }
}

function whenWaiting(d: Extract<Dispatch, { kind: 'waiting' }>, input: Input): Step {
  switch (input.kind) {
    case 'packReady':
      return d.for === 'pack' ? [{ kind: 'waiting', for: 'slot' }, ['enqueue']] : [d, []];
    case 'slot':
      return d.for === 'slot' ? [{ kind: 'starting', stop: undefined }, ['journalStart']] : [d, []];
    case 'refused':
      return ended({ end: 'rejected', code: input.code, reason: input.reason });
    case 'stop':
      return ended(input.stop);
    default:
      return [d, []];
  }
}

function whenStarting(d: Extract<Dispatch, { kind: 'starting' }>, input: Input): Step {
  switch (input.kind) {
    case 'startJournalled':
      return d.stop === undefined ? [{ kind: 'running', stop: undefined }, ['launch']] : ended(d.stop);
    case 'journalFailed':
      return ended({ end: 'rejected', code: 'JOURNAL_FAILED', reason: input.reason });
    case 'stop':
      return [{ ...d, stop: d.stop ?? input.stop }, []];
    default:
      return [d, []];
  }
}

function whenRunning(d: Extract<Dispatch, { kind: 'running' }>, input: Input): Step {
  switch (input.kind) {
    case 'stop':
      return d.stop === undefined ? [{ kind: 'running', stop: input.stop }, ['kill']] : [d, []];
    case 'exited': {
      if (d.stop === undefined) return ended(input.ending);
      const { exitCode, signal } = input.ending;
      return ended({
        ...d.stop,
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(signal === undefined ? {} : { signal }),
      });
    }
    default:
      return [d, []];
  }
}

function ended(ending: Ending, before: readonly Action[] = []): Step {
  return [{ kind: 'ended', ending }, [...before, 'finish']];
}
