import { type EventFilter, EventServiceService } from '@openline/proto/alerts';
import { parseDuration } from '../args/duration.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { renderEvent, renderEvents } from '../render/alerts.ts';
import { printItems, printLines } from '../render/document.ts';
import { type EventView, eventView, LEVELS } from '../views/alert.ts';
import { stopOnInterrupt } from '../watch/interrupts.ts';
import { watchOn } from '../watch/streams.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface EventFlags extends OutputFlag {
  readonly limit: string;
  readonly on?: string | undefined;
  readonly level?: string | undefined;
  readonly log?: string | undefined;
  readonly source?: string | undefined;
  readonly by?: string | undefined;
  readonly text?: string | undefined;
  readonly since?: string | undefined;
  readonly follow?: boolean | undefined;
}

/** The newest ones, in the order in which they happened, as a log is read. */
export function listEvents(flags: EventFlags, global: GlobalFlags, io: Io): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  const filter = filterOf(flags, io);
  if (flags.follow === true) return followEvents(filter, Math.min(limit, 1000), flags, global, io);
  return withClient(global, io, async (client) => {
    const events: EventView[] = [];
    let pageToken = '';
    do {
      const request = { filter, limit: Math.min(1000, limit - events.length), pageToken };
      const page = await client.unary(EventServiceService.listEvents, request);
      events.push(...page.events.map(eventView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && events.length < limit);
    events.reverse();
    if (flags.output !== 'table') await printItems(io, flags.output, events);
    else if (events.length === 0) io.err.write('no such event: shown is what rules and monitors of packs look for\n');
    else printLines(io, renderEvents(events, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

function filterOf({ on, level, log, source, by, text, since }: EventFlags, io: Io): EventFilter {
  return {
    targets: on ?? '',
    level: level === undefined ? 0 : levelOf(level),
    log: log ?? '',
    source: source ?? '',
    watch: by ?? '',
    text: text ?? '',
    sinceUnixMs: since === undefined ? 0n : BigInt(sinceOf(since, io.nowMs())),
  };
}

function levelOf(text: string): EventFilter['level'] {
  for (const [name, level] of Object.entries(LEVELS)) if (name === text) return level;
  throw usageError(`--level «${text}» is none of ${Object.keys(LEVELS).join(', ')}`);
}

/** "2h", or a time such as 2026-01-02T03:04. */
function sinceOf(text: string, nowMs: number): number {
  const next = 'Write how far back, such as 2h, or from when on, such as 2026-01-02T03:04.';
  if (!/^\d{4}-/.test(text)) return nowMs - parseDuration(text, '--since', next);
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw usageError(`--since «${text}» is no time`, next);
  return time;
}

/** Ends by Ctrl-C. Goes on when the server is back, with what came meanwhile. */
function followEvents(
  filter: EventFilter,
  newest: number,
  flags: OutputFlag,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  if (flags.output !== 'table' && flags.output !== 'jsonl')
    throw usageError(`what follows has no end, so -o ${flags.output} would never be written`, 'Use -o jsonl.');
  return withClient(global, io, async (client) => {
    const stop = stopOnInterrupt(io);
    const notice = (text: string) => io.err.write(`${text}\n`);
    let position: bigint | undefined;
    let asked: bigint | undefined;
    const request = () => {
      asked = position;
      return { filter, newest, after: position };
    };
    try {
      const answers = watchOn(client, EventServiceService.watchEvents, request, { signal: stop.signal, notice });
      for await (const answer of answers) {
        if (asked !== undefined && answer.position !== asked)
          notice('events may be missing here: the server does not have all that came meanwhile');
        asked = undefined;
        position = answer.position;
        const screen = io.out.screen();
        const line = (view: EventView) =>
          flags.output === 'jsonl' ? JSON.stringify(view) : renderEvent(view, screen, io.nowMs());
        printLines(io, answer.events.map(eventView).map(line));
        await io.out.drained();
      }
      return stop.exitCode;
    } finally {
      stop.close();
    }
  });
}
