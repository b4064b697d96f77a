import type { TemplateTexts } from '../channels/channel.ts';
import type { Message } from '../message.ts';

/** How one attempt ended. What is nobody's fault but the channel's concerns every message that waits for it. */
export type Delivery =
  | {
      readonly kind: 'delivered';
      /** What the other side said. */
      readonly answer: string;
      /** Recipients that were refused while others were served. */
      readonly refused?: readonly RefusedRecipient[];
    }
  /** The message's own fault: it would be refused again. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Not this message now; others may go. */
  | { readonly kind: 'deferred'; readonly reason: string; readonly retryAfterMs?: number }
  /** The other side cannot be reached, or takes nothing from us; no message is at fault. */
  | { readonly kind: 'away'; readonly reason: string; readonly retryAfterMs?: number }
  /** It was handed over, and nobody knows whether it was taken. */
  | { readonly kind: 'uncertain'; readonly reason: string };

export interface RefusedRecipient {
  readonly recipient: string;
  readonly reason: string;
  readonly forGood: boolean;
}

export interface Hand {
  /**
   * Called at the last moment at which the message can still be kept back, and awaited: from then on a crash leaves an uncertain message.
   * When it throws, the message must not be handed over.
   */
  handOver(): Promise<void>;
  /** Aborts when the time for the message is over, or the server stops. */
  readonly signal: AbortSignal;
  /** Of the subscription; they win over the channel's. */
  readonly templates: TemplateTexts;
}

/** Speaks to one channel, as it was declared at that time. Never throws for what the other side does. */
export interface Sender {
  send(message: Message, hand: Hand): Promise<Delivery>;
  /** Ends what is open and idle; nothing is sent by it any more. */
  close(): void;
}

/** What `handOver` throws: the message is another process's by now, or that could not be recorded. */
export class NotHandedOver extends Error {
  override readonly name = 'NotHandedOver';
}

/** What Node says to whoever started it; a channel names its authority itself. */
const NODES_ADVICE = /; if the root CA is installed locally, .*$/;

/** One line for people. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const text = (error.message || code || error.name).replace(
    NODES_ADVICE,
    ": name who signed it, with the channel's 'ca'",
  );
  return (code === undefined || text.includes(code) ? text : `${text} (${code})`).replace(/\s+/g, ' ').slice(0, 1_000);
}
