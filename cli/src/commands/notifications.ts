import { NotificationServiceService, type NotificationState } from '@openline/proto/notifications';
import { createColors } from 'picocolors';
import type { OperatorClient } from '../client/client.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import {
  renderChannels,
  renderNotification,
  renderNotifications,
  renderSubscriptions,
} from '../render/notifications.ts';
import { plural, printable } from '../render/text.ts';
import { formatDuration } from '../render/time.ts';
import {
  channelView,
  NOTIFICATION_STATES,
  type NotificationView,
  notificationDetailView,
  notificationView,
  STATE_NUMBERS,
  subscriptionView,
} from '../views/notification.ts';
import { number } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface ListNotificationsFlags extends OutputFlag {
  readonly limit: string;
  readonly state?: string | undefined;
  readonly channel?: string | undefined;
  readonly subscription?: string | undefined;
  readonly alert?: string | undefined;
}

export function listNotifications(flags: ListNotificationsFlags, global: GlobalFlags, io: Io): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  if (flags.alert !== undefined && !/^\d+$/.test(flags.alert))
    throw usageError('--alert is not the number of an alert');
  const filter = {
    states: statesOf(flags.state),
    channel: flags.channel ?? '',
    subscription: flags.subscription ?? '',
    alertId: flags.alert ?? '',
  };
  return withClient(global, io, async (client) => {
    const { views, more } = await readAll(client, filter, limit);
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else if (views.length === 0)
      io.err.write(
        flags.state === undefined
          ? 'nothing was to be told yet\n'
          : `no notification is ${flags.state.replaceAll(',', ' or ')}\n`,
      );
    else printLines(io, renderNotifications(views, io.out.screen(), io.nowMs()));
    if (more) io.err.write(`there are more: --limit ${limit * 10}, or narrow them down\n`);
    return EXIT.ok;
  });
}

async function readAll(
  client: OperatorClient,
  filter: { states: NotificationState[]; channel: string; subscription: string; alertId: string },
  limit: number,
): Promise<{ views: NotificationView[]; more: boolean }> {
  const views: NotificationView[] = [];
  let pageToken = '';
  do {
    const page = await client.unary(NotificationServiceService.listNotifications, {
      ...filter,
      limit: Math.min(1000, limit - views.length),
      pageToken,
    });
    views.push(...page.notifications.map(notificationView));
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && views.length < limit);
  return { views, more: pageToken !== '' };
}

/** `dead` is the list of what waits for a person: also what is uncertain. */
function statesOf(text: string | undefined): NotificationState[] {
  return (text?.split(',') ?? []).flatMap((word) => {
    const name = word.trim().replace('-', '_');
    if (name === 'dead') return [STATE_NUMBERS.dead, STATE_NUMBERS.uncertain];
    const state = NOTIFICATION_STATES.find((each) => each === name);
    if (state === undefined)
      throw usageError(`--state: there is no «${word}»`, `The states are ${NOTIFICATION_STATES.join(', ')}.`);
    return STATE_NUMBERS[state];
  });
}

export function showNotification(id: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const view = notificationDetailView(await client.unary(NotificationServiceService.getNotification, { id }));
    if (view === undefined) return EXIT.notAll;
    if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else printLines(io, renderNotification(view, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

export interface RetryFlags extends OutputFlag {
  readonly all?: boolean | undefined;
  readonly channel?: string | undefined;
}

export function retryNotifications(
  ids: readonly string[],
  flags: RetryFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const all = flags.all === true;
  if (all === ids.length > 0) {
    throw usageError('say which ones: their ids, or --all', '`openline notifications --state dead` lists them.');
  }
  if (flags.channel !== undefined && !all) throw usageError('--channel has a meaning only with --all');
  return withClient(global, io, async (client) => {
    const request = { ids: [...ids], all, channel: flags.channel ?? '' };
    const { retried } = await client.unary(NotificationServiceService.retryNotifications, request);
    if (flags.output !== 'table') await printDocument(io, flags.output, { retried });
    else
      io.out.write(
        retried === 0 ? 'none is dead or uncertain\n' : `${plural(retried, 'notification')} will be sent again, now\n`,
      );
    return EXIT.ok;
  });
}

export function listChannels(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { channels } = await client.unary(NotificationServiceService.listChannels, {});
    const views = channels.map(channelView);
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else if (views.length === 0)
      io.err.write('no channels yet\n→ `openline apply -f FILE` declares them: docs/notifications.md\n');
    else printLines(io, renderChannels(views, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

/** From connecting to the answer of the other side; the server has its own limit, which is shorter. */
const TEST_DEADLINE_MS = 6 * 60_000;

export function testChannel(
  channel: string,
  flags: OutputFlag & { to?: readonly string[] | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const to = (flags.to ?? []).flatMap((each) => each.split(',')).map((each) => each.trim());
  return withClient(global, io, async (client) => {
    const request = { channel, to };
    const { delivered, answer, id, durationMs } = await client.unary(NotificationServiceService.testChannel, request, {
      deadlineMs: TEST_DEADLINE_MS,
    });
    if (flags.output !== 'table')
      await printDocument(io, flags.output, { channel, delivered, answer, id, durationMs: number(durationMs) });
    else {
      const paint = createColors(io.out.screen().color);
      const what = delivered ? paint.green('delivered') : paint.red('not delivered');
      io.out.write(`${what} in ${formatDuration(number(durationMs))}: ${printable(answer)}\n`);
    }
    return delivered ? EXIT.ok : EXIT.notAll;
  });
}

export function listSubscriptions(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { subscriptions } = await client.unary(NotificationServiceService.listSubscriptions, {});
    const views = subscriptions.map(subscriptionView);
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else if (views.length === 0)
      io.err.write(
        'no subscriptions yet: nobody is told of alerts\n→ `openline apply -f FILE` declares them: docs/notifications.md\n',
      );
    else printLines(io, renderSubscriptions(views, io.out.screen()));
    return EXIT.ok;
  });
}
