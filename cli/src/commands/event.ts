import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  createEventLog,
  createStreamLines,
  eventsDirectoryOf,
  type NewEvent,
  newEvent,
} from '@openline/agent/event-log';
import { CliError, EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';

export interface EventCommandFlags {
  readonly source?: string;
  readonly id?: string;
  readonly level?: string;
  readonly data?: string;
  readonly json?: boolean;
  readonly dir?: string;
  readonly quiet?: boolean;
}

/** Of a line of standard input: no event may be larger. */
const MAX_LINE_BYTES = 48 * 1024;
/** Of the message of a line, which is cut; a message that is given whole is refused beyond it. */
const MAX_LINE_CHARS = 16 * 1024;

/**
 * Writes to the event log of the agent on this machine, without a server: one event, or one for each line of standard input as it comes. Prints
 * the unique id of each, once it is on disk.
 */
export async function eventCommand(message: string | undefined, flags: EventCommandFlags, io: Io): Promise<number> {
  const directory = flags.dir === undefined ? eventsDirectoryOf(io.env) : resolve(io.cwd, flags.dir);
  // The agent makes it. Were it made here, nobody might ever read it.
  await stat(directory).catch((cause: unknown) => {
    throw explained(new Error('the folder of the log cannot be seen', { cause }), directory);
  });
  const log = createEventLog({ directory });
  const given = {
    ...(flags.source === undefined ? {} : { source: flags.source }),
    ...(flags.id === undefined ? {} : { id: flags.id }),
    ...(flags.level === undefined ? {} : { level: flags.level }),
    ...(flags.data === undefined ? {} : { data: parseData(flags.data) }),
  };

  async function write(events: readonly NewEvent[]): Promise<void> {
    const logged = await log.append(events).catch((cause: unknown) => {
      throw explained(cause, directory);
    });
    if (flags.quiet !== true) io.out.write(logged.map(({ uid }) => `${uid}\n`).join(''));
  }

  if (message !== undefined) {
    if (flags.json === true) throw usageError('--json is for standard input: leave the message out');
    await write([checked({ ...given, message }, '')]);
    return EXIT.ok;
  }
  if (io.stdinIsTTY)
    throw usageError('there is no message, and standard input is a terminal', 'See `openline event --help`.');
  let line = 0;
  for await (const lines of linesOf(io)) {
    const events = lines.flatMap((text) => {
      line += 1;
      if (text.trim() === '') return [];
      const where = `line ${line}: `;
      if (flags.json !== true)
        return checked({ ...given, message: text.slice(0, MAX_LINE_CHARS).toWellFormed() }, where);
      return checked({ ...given, ...parseLine(text, where) }, where);
    });
    await write(events);
  }
  return EXIT.ok;
}

async function* linesOf(io: Io): AsyncGenerator<readonly string[]> {
  const split = createStreamLines(MAX_LINE_BYTES);
  const END = Buffer.from('\n');
  const cut = (chunk: Buffer): readonly string[] => {
    const { lines, tooLong } = split.push(chunk);
    if (tooLong > 0) throw usageError(`a line of standard input is longer than ${MAX_LINE_BYTES / 1024} KiB`);
    return lines.map((line) => line.replace(/\r$/, ''));
  };
  for await (const chunk of io.stdin()) yield cut(Buffer.from(chunk));
  // The last line may have no end.
  yield cut(END);
}

function checked(given: Readonly<Record<string, unknown>>, where: string): NewEvent {
  const event = newEvent(given);
  if (typeof event === 'string') throw usageError(`${where}${event}`, 'See `openline event --help`.');
  return event;
}

function parseData(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw usageError(`--data: expected a JSON object, such as '{"code": 7}'`, 'See `openline event --help`.');
  }
}

function parseLine(text: string, where: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // Said below.
  }
  throw usageError(
    `${where}expected a JSON object with message, level, source, id, data`,
    'See `openline event --help`.',
  );
}

/** Most often it is another directory that was meant, or another user. */
function explained(error: unknown, directory: string): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const options = { cause: error };
  if (code === 'ENOENT')
    return new CliError(
      'EVENT_LOG_FAILED',
      `there is no event log of an agent at ${directory}`,
      'Name its directory with --dir, or OPENLINE_AGENT_EVENTS_DIRECTORY: `events` in the agent’s data directory.',
      options,
    );
  if (code === 'EACCES' || code === 'EPERM')
    return new CliError(
      'EVENT_LOG_FAILED',
      `${directory} may not be written by this user`,
      'Run it as the agent’s user, or let a group write the log: events.group of the agent.',
      options,
    );
  return error;
}
