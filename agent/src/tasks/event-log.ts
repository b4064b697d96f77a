import { mkdir, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One event of the agent's own event log, as the rules read it. */
export interface LoggedEvent {
  readonly id: string;
  /** RFC 3339 */
  readonly at: string;
  readonly source: string;
  readonly level: string;
  readonly message: string;
  readonly data: unknown;
}

export interface EventLog {
  /** On disk when it resolves. @returns the line that was written */
  append(event: LoggedEvent): Promise<string>;
}

/** `<directory>/events.jsonl`; the file before it is kept as `events.1.jsonl`. @param rotateBytes default 10 MiB */
export function createEventLog(directory: string, rotateBytes = 10 * 1024 * 1024): EventLog {
  const path = join(directory, 'events.jsonl');
  let last: Promise<unknown> = Promise.resolve();

  async function write(line: string): Promise<string> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const size = await stat(path).then(
      (file) => file.size,
      () => 0,
    );
    if (size + line.length > rotateBytes && size > 0) await rename(path, join(directory, 'events.1.jsonl'));
    const file = await open(path, 'a', 0o600);
    try {
      const before = (await file.stat()).size;
      try {
        await file.appendFile(line);
        await file.datasync();
      } catch (error) {
        // Half a line would spoil the next one.
        await file.truncate(before).catch(() => undefined);
        throw error;
      }
    } finally {
      await file.close();
    }
    return line;
  }

  return {
    append(event) {
      const line = `${JSON.stringify(event)}\n`;
      const written = last.then(() => write(line));
      last = written.catch(() => undefined);
      return written;
    },
  };
}
