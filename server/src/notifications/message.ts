import type { Alert, AlertChange, AlertChangeKind } from '../alerts/alert.ts';

/** What one message tells. `opened` is the first that somebody hears of an alert, whatever change made it so. */
export type NotificationKind =
  | 'opened'
  | 'severity'
  | 'acknowledged'
  | 'assigned'
  | 'commented'
  | 'closed'
  | 'reminder'
  | 'digest'
  | 'test';

/** One change, as it was when it happened: what is kept of it until the message is made. */
export interface MessageItem {
  readonly alert: Alert;
  readonly change: {
    readonly id: number;
    readonly kind: AlertChangeKind;
    readonly at: Date;
    readonly by: string;
    readonly comment: string;
  };
}

/** Everything that a message is made of, before it has a form. */
export interface Message {
  /** Also the beginning of its Message-ID, and a webhook's delivery id. */
  readonly id: string;
  readonly kind: NotificationKind;
  readonly subscription: string;
  readonly channel: string;
  /** 0, or which step of the escalation. */
  readonly step: number;
  readonly recipients: readonly string[];
  /** The first message of its thread; its own id when it is that. */
  readonly rootId: string;
  /** How often it was tried, this time included. */
  readonly attempt: number;
  readonly createdAt: Date;
  /** In the order in which it happened; one, except in digests. */
  readonly items: readonly MessageItem[];
  /** For times that people read. */
  readonly timeZone: string;
}

export function itemOf({ alert, id, kind, at, by, comment }: AlertChange): MessageItem {
  return { alert, change: { id, kind, at, by, comment } };
}

/** As stored, until the message is made. */
export function encodeItem(item: MessageItem): string {
  return JSON.stringify(item);
}

/** What `encodeItem` wrote; dates come back as dates. */
export function decodeItem(text: string): MessageItem {
  return JSON.parse(text, (key, value: unknown) =>
    typeof value === 'string' && DATE_KEYS.has(key) ? new Date(value) : value,
  );
}

const DATE_KEYS: ReadonlySet<string> = new Set(['at', 'firstAt', 'lastAt', 'closedAt'] satisfies (
  | keyof Alert
  | 'at'
)[]);
