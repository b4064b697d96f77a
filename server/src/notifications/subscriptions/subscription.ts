import type { Severity } from '@openline/packs';
import type { Selector } from '../../agents/selector.ts';
import type { Alert } from '../../alerts/alert.ts';
import type { TemplateTexts } from '../channels/channel.ts';
import type { Schedule } from './schedule.ts';

/** Who hears of which alerts, when and how: declared as `kind: Subscription`. docs/notifications.md is the guide. */

export interface Criteria {
  /** This or a worse one. */
  readonly severity: Severity;
  /** Globs over "pack/watch"; any of them. Empty: all. */
  readonly watches: readonly string[];
  /** What raised it; empty: anything. */
  readonly kinds: ReadonlySet<Alert['subject']['kind']>;
  /** Over the labels and the name of the agent. Absent: every agent, and what is no agent's. */
  readonly agents: Selector | undefined;
  /** CEL over `alert`. What it cannot be evaluated on does not match. */
  readonly where: ((alert: Alert) => boolean) | undefined;
}

/** One message to these recipients. */
export interface Send {
  readonly channel: string;
  /** Sorted, each once; empty where the channel itself says to whom. */
  readonly to: readonly string[];
}

/** What makes a message unnecessary before it is sent. `acknowledged` includes closed. */
export type Unless = 'closed' | 'acknowledged';

export interface Step {
  /** After the alert was raised, milliseconds. */
  readonly afterMs: number;
  readonly unless: Unless;
  readonly send: readonly Send[];
}

/** What those who were told that an alert is open may also hear. */
export const FOLLOW_UPS = ['severity', 'acknowledged', 'assigned', 'commented', 'closed'] as const;
export type FollowUp = (typeof FOLLOW_UPS)[number];

export interface SubscriptionSpec {
  readonly enabled: boolean;
  readonly criteria: Criteria;
  /** The first is step 0; the others are the escalation, in their order. */
  readonly steps: readonly Step[];
  readonly followUps: ReadonlySet<FollowUp>;
  readonly schedule: Schedule | undefined;
  /** Messages of step 0 and its follow-ups are gathered. */
  readonly digest: Digest | undefined;
  /** Said again to step 0 while it is so. */
  readonly reminder: { readonly everyMs: number; readonly unless: Unless } | undefined;
  readonly templates: TemplateTexts;
  /** For times that people read. */
  readonly timeZone: string;
}

export type Digest =
  | { readonly kind: 'every'; readonly everyMs: number }
  /** Milliseconds since midnight in `timeZone`. */
  | { readonly kind: 'at'; readonly timesMs: readonly number[]; readonly timeZone: string };

export interface Subscription {
  readonly name: string;
  readonly spec: SubscriptionSpec;
}
