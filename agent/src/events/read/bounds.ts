import type { NodeEvent } from '@openline/packs';

/** What one source has in memory: a piece of its log, and the events that it is made into. docs/limits.md lists these. */

/** Read at a time. A line that is longer is cut here and marked. */
export const READ_BYTES = 64 * 1024;
/** Events in one batch. */
export const MAX_BATCH_EVENTS = 1_000;
/** Characters of an event's message; the rest is cut, and `data.truncated` says so. */
export const MAX_MESSAGE_CHARS = 16 * 1024;

/** @param cut it was cut before, too */
export function boundedEvent(event: NodeEvent, cut = false): NodeEvent {
  if (!cut && event.message.length <= MAX_MESSAGE_CHARS) return event;
  const message = event.message.slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  return { ...event, message, data: { ...event.data, truncated: true } };
}
