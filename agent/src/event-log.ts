import { defaultDataDir, eventsDirectoryIn } from './config/data-dir.ts';

// What a program on the machine needs to write the agent's own event log: `openline event`.
export { type NewEvent, newEvent } from './events/agent-log/record.ts';
export { createEventLog } from './events/agent-log/writer.ts';
export { createStreamLines } from './events/read/stream-lines.ts';

/** Where the log of this machine's agent is, as far as the environment says: a task is told so, and an agent's own variables count, too. */
export function eventsDirectoryOf(env: Readonly<Record<string, string | undefined>>): string {
  return (
    env['OPENLINE_AGENT_EVENTS_DIRECTORY'] || eventsDirectoryIn(env['OPENLINE_AGENT_DATA_DIR'] || defaultDataDir())
  );
}
