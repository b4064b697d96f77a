import type { Heartbeat } from '../policy/resolve.ts';
import type { Evidence, Verdict } from './diagnosis.ts';

/** One agent's line as the health model sees it: whether it is there, and since when it is not. */

/** How a line was lost. */
export type Ended =
  /** The agent said that it stops. */
  | 'stopped'
  /** The connection ended: its process died, its node shut down, or something between cut it. */
  | 'broken'
  /** Nothing more was heard over a connection that seemed open. */
  | 'silent'
  /** It was there before this server started, and has not come back since. */
  | 'unseen';

export interface Loss {
  readonly ended: Ended;
  /** For people: a code, or what the agent said. */
  readonly why: string;
  /** When it was last heard. */
  readonly sinceUnixMs: number;
}

export type LineState =
  | { readonly kind: 'up' }
  /** Not there, but within what is tolerated. @param heardMs when it was last heard */
  | { readonly kind: 'away'; readonly loss: Loss; readonly heardMs: number }
  /** Longer than that. It waits a moment for others that were lost with it, and for what probes find. */
  | {
      readonly kind: 'missed';
      readonly loss: Loss;
      readonly missedMs: number;
      readonly evidence: Evidence | undefined;
    }
  | {
      readonly kind: 'down';
      readonly loss: Loss;
      readonly cover: Cover;
      readonly verdict: Verdict;
      readonly evidence: Evidence | undefined;
    };

/** Which alert tells of it. `suppressed`: raised while the agent was in maintenance. */
export type Cover =
  | { readonly kind: 'own'; readonly suppressed: boolean }
  | { readonly kind: 'outage'; readonly key: string }
  /** Its heartbeat policy wants none, or its node was removed. */
  | { readonly kind: 'none' };

/** Agents that may be lost together. */
export interface GroupRef {
  /** "label=value"; ALL for the whole fleet. */
  readonly key: string;
  readonly rule: GroupRule;
}

export interface GroupRule {
  /** So many lines lost together, and so many percent of those that were there, make one alert of the group. */
  readonly members: number;
  readonly percent: number;
  /** So many make one whatever the percentage, where no other group explains them. */
  readonly storm: number | undefined;
}

export const ALL = 'all';

export interface LineAgent {
  readonly id: string;
  readonly name: string;
  readonly groups: readonly GroupRef[];
  readonly heartbeat: Heartbeat;
}

export interface Line {
  readonly agent: LineAgent;
  readonly state: LineState;
  /** It is in maintenance. */
  readonly maintained: boolean;
}

/** Whether it counts in its groups, as there or as lost. */
export function countsInGroups({ agent, maintained, state }: Line): boolean {
  if (!agent.heartbeat.alert || maintained || isRemoved(state)) return false;
  return state.kind !== 'away' || state.loss.ended !== 'stopped';
}

/** Its node is there no more. */
export function isRemoved(state: LineState): boolean {
  return (state.kind === 'missed' || state.kind === 'down') && state.evidence?.node === 'absent';
}

/** When a line that is away is missed, milliseconds of the monotonic clock; Infinity: never. */
export function missedAtMs({ heartbeat }: LineAgent, loss: Loss, heardMs: number): number {
  switch (loss.ended) {
    case 'stopped':
      return heardMs + (heartbeat.stoppedAfterMs ?? Number.POSITIVE_INFINITY);
    case 'broken':
    case 'silent':
      return heardMs + heartbeat.silenceMs;
    case 'unseen':
      return heardMs;
    default:
      return loss.ended satisfies never;
  }
}

/** The others of its group beat at other moments: what was lost with it is known one heartbeat later. */
export function decidedAtMs({ heartbeat }: LineAgent, missedMs: number, settleMs: number): number {
  return missedMs + heartbeat.intervalMs + settleMs;
}
