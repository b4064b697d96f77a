import type { EventLevel, Severity } from '@openline/packs';
import type { AlertServiceService, EventServiceService, WatchAlertsResponse } from '@openline/proto/alerts';
import { z } from 'zod';
import type { AlertState } from '../alerts/alert.ts';
import type { AlertFilter } from '../alerts/alert-queries.ts';
import type { AlertService, AlertWatchItem } from '../alerts/alert-service.ts';
import type { AlertCommand } from '../alerts/machine.ts';
import type { EventFilter, EventReader } from '../events/event-reader.ts';
import {
  ALERT_STATE,
  alertMessage,
  behindMessage,
  changeMessage,
  LEVEL,
  pastChangeMessage,
  SEVERITY,
  storedEventMessage,
} from './alert-messages.ts';
import { name, pageLimit, readRequest, text } from './fields.ts';
import type { CallContext, Handlers } from './serve.ts';

export interface AlertDeps {
  readonly alerts: AlertService;
  readonly eventReader: EventReader;
}

const MAX_IDS = 1_000;
const MAX_COMMENT_CHARS = 4_096;

/** The number of an enum back to its name. */
function named<Name extends string>(numbers: Readonly<Record<Name, number>>, what: string) {
  const names = new Map(Object.entries<number>(numbers).map(([key, number]) => [number, key as Name]));
  return z.number().transform((number, context) => {
    const found = names.get(number);
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `not a ${what}` });
    return z.NEVER;
  });
}

const severity = named<Severity>(SEVERITY, 'severity');
const state = named<AlertState>(ALERT_STATE, 'state of an alert');
const targets = text(64 * 1024);

const NoAlertFilter: AlertFilter = {
  states: ['new', 'acknowledged'],
  severities: [],
  targets: '',
  watch: '',
  text: '',
  owner: '',
};
const AlertFilterFields = z
  .object({
    states: z.array(state).max(10, 'more than 10'),
    severities: z.array(severity).max(10, 'more than 10'),
    targets,
    watch: text(256),
    text: text(256),
    owner: text(256),
  })
  .transform(
    (filter): AlertFilter => ({ ...filter, states: filter.states.length === 0 ? NoAlertFilter.states : filter.states }),
  )
  .optional()
  .transform((filter) => filter ?? NoAlertFilter);

const ListAlerts = z.object({ filter: AlertFilterFields, limit: pageLimit(), pageToken: text(64) });
const WatchAlerts = z.object({ filter: AlertFilterFields });
const ById = z.object({ id: name('give the id of an alert', 64) });
const ids = z.array(text(64)).min(1, 'give the id of an alert').max(MAX_IDS, `more than ${MAX_IDS}`);
const comment = text(MAX_COMMENT_CHARS);
const Acknowledge = z.object({ ids, comment });
const Assign = z.object({ ids, owner: text(256), comment });
const Comment = z.object({ ids, comment: comment.refine((value) => value.trim() !== '', 'is empty; say something') });
const Close = Acknowledge;

export function alertHandlers({ alerts }: AlertDeps): Handlers<typeof AlertServiceService> {
  async function act({ principal }: CallContext, which: readonly string[], command: AlertCommand) {
    const done = await alerts.act(principal, which, command);
    return { alerts: done.alerts.map(alertMessage), notes: [...done.notes] };
  }

  async function* watch(filter: AlertFilter, signal: AbortSignal): AsyncIterable<WatchAlertsResponse> {
    for await (const item of alerts.watch(filter, signal)) yield { kind: watchMessage(item) };
  }

  return {
    async listAlerts(request) {
      const { filter, ...page } = readRequest(ListAlerts, request);
      const found = await alerts.list(filter, page);
      return { alerts: found.alerts.map(alertMessage), nextPageToken: found.nextPageToken };
    },
    async getAlert(request) {
      const { alert, history, events } = await alerts.get(readRequest(ById, request).id);
      return {
        alert: alertMessage(alert),
        history: history.map(pastChangeMessage),
        events: events.map((event) => behindMessage(event, alert)),
      };
    },
    watchAlerts: (request, { signal }) => watch(readRequest(WatchAlerts, request).filter, signal),
    async acknowledgeAlerts(request, context) {
      const { ids, comment } = readRequest(Acknowledge, request);
      return act(context, ids, { kind: 'acknowledge', comment });
    },
    async assignAlerts(request, context) {
      const { ids, owner, comment } = readRequest(Assign, request);
      return act(context, ids, { kind: 'assign', owner, comment });
    },
    async commentAlerts(request, context) {
      const { ids, comment } = readRequest(Comment, request);
      return act(context, ids, { kind: 'comment', comment });
    },
    async closeAlerts(request, context) {
      const { ids, comment } = readRequest(Close, request);
      return act(context, ids, { kind: 'close', comment });
    },
  };
}

function watchMessage(item: AlertWatchItem): WatchAlertsResponse['kind'] {
  switch (item.kind) {
    case 'snapshot':
      return {
        $case: 'snapshot',
        value: { alerts: item.alerts.map(alertMessage), first: item.first, last: item.last },
      };
    case 'update': {
      const { change, alert, matches } = item;
      return { $case: 'update', value: { change: changeMessage(change), alert: alertMessage(alert), matches } };
    }
    default:
      return item satisfies never;
  }
}

const anyLevel = z.literal(0).transform(() => undefined);
const level = z.union([anyLevel, named<EventLevel>(LEVEL, 'level')]);
const NoEventFilter: EventFilter = {
  targets: '',
  level: undefined,
  log: '',
  source: '',
  watch: '',
  text: '',
  since: undefined,
};
const EventFilterFields = z
  .object({
    targets,
    level,
    log: text(256),
    source: text(256),
    watch: text(256),
    text: text(256),
    sinceUnixMs: z.bigint().refine((value) => value >= 0n && value < 8_640_000_000_000_000n, 'not a time'),
  })
  .transform(
    ({ sinceUnixMs, level, ...rest }): EventFilter => ({
      ...rest,
      level,
      since: sinceUnixMs === 0n ? undefined : new Date(Number(sinceUnixMs)),
    }),
  )
  .optional()
  .transform((filter) => filter ?? NoEventFilter);
const ListEvents = z.object({ filter: EventFilterFields, limit: pageLimit(), pageToken: text(64) });
const WatchEvents = z
  .object({
    filter: EventFilterFields,
    newest: z.number().int().max(1000, 'more than 1000'),
    after: z
      .bigint()
      .refine((value) => value <= Number.MAX_SAFE_INTEGER, 'no position')
      .optional(),
  })
  .transform(({ filter, newest, after }) => ({
    filter,
    from: after === undefined ? { newest } : { after: Number(after) },
  }));

export function eventHandlers({ eventReader }: AlertDeps): Handlers<typeof EventServiceService> {
  async function* watch({ filter, from }: z.output<typeof WatchEvents>, signal: AbortSignal) {
    for await (const { events, position } of eventReader.watch(filter, from, signal))
      yield { events: events.map(storedEventMessage), position: BigInt(position) };
  }
  return {
    async listEvents(request) {
      const { filter, ...page } = readRequest(ListEvents, request);
      const { events, nextPageToken } = await eventReader.list(filter, page);
      return { events: events.map(storedEventMessage), nextPageToken };
    },
    watchEvents: (request, { signal }) => watch(readRequest(WatchEvents, request), signal),
  };
}
