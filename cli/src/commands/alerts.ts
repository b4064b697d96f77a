import {
  type AlertFilter,
  type Alert as AlertMessage,
  type AlertNote,
  AlertServiceService,
} from '@openline/proto/alerts';
import type { OperatorClient } from '../client/client.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { renderAlert, renderAlerts, renderUpdate } from '../render/alerts.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { printable } from '../render/text.ts';
import {
  type AlertView,
  type AlertWatchView,
  alertChangeView,
  alertView,
  eventView,
  SEVERITIES,
  STATES,
} from '../views/alert.ts';
import { stopOnInterrupt } from '../watch/interrupts.ts';
import { watchOn } from '../watch/streams.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface ListAlertsFlags extends OutputFlag {
  readonly limit: string;
  readonly state?: string | undefined;
  readonly severity?: string | undefined;
  readonly on?: string | undefined;
  readonly by?: string | undefined;
  readonly text?: string | undefined;
  readonly owner?: string | undefined;
  readonly watch?: boolean | undefined;
}

export function listAlerts(flags: ListAlertsFlags, global: GlobalFlags, io: Io): Promise<number> {
  const filter = filterOf(flags);
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  if (flags.watch === true) return watchAlerts(filter, flags, global, io);
  return withClient(global, io, async (client) => {
    const alerts: AlertView[] = [];
    let pageToken = '';
    do {
      const request = { filter, limit: Math.min(1000, limit - alerts.length), pageToken };
      const page = await client.unary(AlertServiceService.listAlerts, request);
      alerts.push(...page.alerts.map(alertView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && alerts.length < limit);
    if (flags.output !== 'table') {
      await printItems(io, flags.output, alerts);
      return EXIT.ok;
    }
    if (alerts.length === 0) io.err.write(`${nothingFound(flags)}\n`);
    else printLines(io, renderAlerts(alerts, io.out.screen(), io.nowMs()));
    if (pageToken !== '') io.err.write(`there are more: --limit ${limit * 10}, or narrow them down\n`);
    return EXIT.ok;
  });
}

function nothingFound({ state, severity, on, by, text, owner }: ListAlertsFlags): string {
  if ([severity, on, by, text, owner].some((flag) => flag !== undefined)) return 'no such alert';
  return state === undefined || state === 'open' ? 'no alert is open' : 'no such alert';
}

function filterOf({ state = 'open', severity, on, by, text, owner }: ListAlertsFlags): AlertFilter {
  return {
    states: words('--state', state, { ...STATES, open: undefined, all: undefined }, (name) => {
      if (name === 'open') return [STATES.new, STATES.acknowledged];
      return name === 'all' ? Object.values(STATES) : [];
    }),
    severities: severity === undefined ? [] : words('--severity', severity, SEVERITIES, () => []),
    targets: on ?? '',
    watch: by ?? '',
    text: text ?? '',
    owner: owner ?? '',
  };
}

/** "warning,critical" as numbers. @param several what a word that names several stands for */
function words<Number_ extends number>(
  flag: string,
  text: string,
  known: Readonly<Record<string, Number_ | undefined>>,
  several: (word: string) => readonly Number_[],
): Number_[] {
  return text.split(',').flatMap((part) => {
    const word = part.trim();
    if (!Object.hasOwn(known, word))
      throw usageError(
        `${flag} «${word}» is none of ${Object.keys(known).join(', ')}`,
        'Several are joined by commas.',
      );
    const one = known[word];
    return one === undefined ? [...several(word)] : [one];
  });
}

/** Ends by Ctrl-C. Goes on when the server is back. */
function watchAlerts(filter: AlertFilter, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  if (flags.output !== 'table' && flags.output !== 'jsonl')
    throw usageError(`a watch has no end, so -o ${flags.output} would never be written`, 'Use -o jsonl.');
  return withClient(global, io, async (client) => {
    const stop = stopOnInterrupt(io);
    const patience = { signal: stop.signal, notice: (text: string) => io.err.write(`${text}\n`) };
    try {
      for await (const { kind } of watchOn(client, AlertServiceService.watchAlerts, () => ({ filter }), patience)) {
        if (kind === undefined) continue; // a newer server's kind
        if (flags.output === 'table') printWatched(kind, io);
        else
          io.out.write(
            watchViews(kind)
              .map((view) => `${JSON.stringify(view)}\n`)
              .join(''),
          );
        await io.out.drained();
      }
      return stop.exitCode;
    } finally {
      stop.close();
    }
  });
}

type Watched = NonNullable<Parameters<typeof AlertServiceService.watchAlerts.responseSerialize>[0]['kind']>;

function watchViews(kind: Watched): AlertWatchView[] {
  switch (kind.$case) {
    case 'snapshot':
      return kind.value.alerts.map((alert) => ({ type: 'alert', alert: alertView(alert) }));
    case 'update': {
      const { change, alert, matches } = kind.value;
      if (change === undefined || alert === undefined) return [];
      return [{ type: 'update', change: alertChangeView(change), alert: alertView(alert), matches }];
    }
    default:
      return kind satisfies never;
  }
}

function printWatched(kind: Watched, io: Io): void {
  const screen = io.out.screen();
  if (kind.$case === 'snapshot') {
    const { alerts, first, last } = kind.value;
    if (alerts.length > 0) printLines(io, renderAlerts(alerts.map(alertView), screen, io.nowMs()));
    else if (first && last) io.err.write('no such alert yet; those that come are shown\n');
    return;
  }
  const { change, alert } = kind.value;
  if (change !== undefined && alert !== undefined)
    printLines(io, [renderUpdate(alertChangeView(change), alertView(alert), screen)]);
}

export function showAlert(id: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const answer = await client.unary(AlertServiceService.getAlert, { id });
    if (answer.alert === undefined) return EXIT.notAll;
    const alert = alertView(answer.alert);
    const history = answer.history.map(alertChangeView);
    const events = answer.events.map(eventView);
    if (flags.output !== 'table') await printDocument(io, flags.output, { ...alert, history, events });
    else printLines(io, renderAlert({ alert, history, events }, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

export interface ActFlags extends OutputFlag {
  readonly comment?: string | undefined;
}

export function acknowledgeAlerts(
  ids: readonly string[],
  flags: ActFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  return act(ids, flags, global, io, 'acknowledged', (client, request) =>
    client.unary(AlertServiceService.acknowledgeAlerts, request),
  );
}

export function closeAlerts(ids: readonly string[], flags: ActFlags, global: GlobalFlags, io: Io): Promise<number> {
  return act(ids, flags, global, io, 'closed', (client, request) =>
    client.unary(AlertServiceService.closeAlerts, request),
  );
}

export function assignAlerts(
  ids: readonly string[],
  flags: ActFlags & { to?: string | undefined; nobody?: boolean | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  if ((flags.to === undefined) === (flags.nobody !== true))
    throw usageError('say who is to have them', 'Give --to NAME, or --nobody.');
  // A variable that was not set would take them from whoever has them.
  if (flags.to?.trim() === '') throw usageError('--to is empty', 'Give --to NAME, or --nobody.');
  const owner = flags.to ?? '';
  return act(ids, flags, global, io, owner === '' ? 'given back' : `given to ${owner}`, (client, request) =>
    client.unary(AlertServiceService.assignAlerts, { ...request, owner }),
  );
}

export function commentAlerts(ids: readonly string[], flags: ActFlags, global: GlobalFlags, io: Io): Promise<number> {
  if ((flags.comment ?? '').trim() === '') throw usageError('nothing is said', 'Give -m TEXT.');
  return act(ids, flags, global, io, 'commented', (client, request) =>
    client.unary(AlertServiceService.commentAlerts, request),
  );
}

function act(
  ids: readonly string[],
  { output, comment = '' }: ActFlags,
  global: GlobalFlags,
  io: Io,
  done: string,
  ask: (
    client: OperatorClient,
    request: { ids: string[]; comment: string },
  ) => Promise<{ alerts: AlertMessage[]; notes: AlertNote[] }>,
): Promise<number> {
  return withClient(global, io, async (client) => {
    const { alerts, notes } = await ask(client, { ids: [...ids], comment });
    const views = alerts.map(alertView);
    if (output !== 'table') await printItems(io, output, views);
    const unchanged = new Set(notes.filter(({ changed }) => !changed).map(({ id }) => id));
    if (output === 'table') {
      for (const { id, agent, title } of views)
        if (!unchanged.has(id)) io.out.write(`alert ${id} is ${done}: ${printable(`${agent}: ${title}`)}\n`);
    }
    for (const { id, note } of notes) io.err.write(`alert ${id}: ${printable(note)}\n`);
    return EXIT.ok;
  });
}
