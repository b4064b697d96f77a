import { createColors } from 'picocolors';
import type { Screen } from '../io.ts';
import type { ChannelView, NotificationDetailView, NotificationView, SubscriptionView } from '../views/notification.ts';
import { at } from '../views/values.ts';
import { type Column, renderTable } from './table.ts';
import { plural, printable } from './text.ts';
import { formatAge } from './time.ts';

type Look = Pick<Screen, 'color' | 'columns'>;

function statePaint(state: NotificationView['state'], color: boolean): (text: string) => string {
  const paint = createColors(color);
  switch (state) {
    case 'sent':
      return paint.green;
    case 'dead':
    case 'uncertain':
      return paint.red;
    case 'cancelled':
      return paint.dim;
    case 'pending':
    case 'sending':
    case 'handing_over':
    case 'unknown':
      return paint.cyan;
    default:
      return state satisfies never;
  }
}

/** What there is to say of it: when it is due or tried again, why it failed, what the other side said. */
function noteOf(view: NotificationView, nowMs: number): string {
  const dueMs = at(view.dueAt) ?? 0;
  if (view.state === 'pending' && dueMs > nowMs) {
    const condition = view.condition === null ? '' : `, if still ${view.condition}`;
    return `due ${formatAge(dueMs, nowMs)}${condition}`;
  }
  return view.reason ?? view.answer ?? '';
}

export function renderNotifications(
  views: readonly NotificationView[],
  { color, columns }: Look,
  nowMs: number,
): string[] {
  const table: Column<NotificationView>[] = [
    { title: 'ID', cell: ({ id }) => id },
    {
      title: 'STATE',
      cell: ({ state }) => state.replace('_', ' '),
      paint: (text, { state }) => statePaint(state, color)(text),
    },
    { title: 'WHEN', cell: ({ endedAt, createdAt }) => formatAge(at(endedAt ?? createdAt), nowMs) },
    { title: 'KIND', cell: ({ kind, step }) => (step > 0 ? `${kind}, step ${step}` : kind) },
    { title: 'CHANNEL', cell: ({ channel }) => channel, shrinks: true },
    { title: 'TO', cell: ({ recipients }) => recipients.join(','), shrinks: true },
    { title: 'TITLE', cell: ({ title }) => title, shrinks: true },
    { title: 'NOTE', cell: (view) => noteOf(view, nowMs), shrinks: true },
  ];
  return renderTable(table, views, columns);
}

export function renderNotification(view: NotificationDetailView, { color, columns }: Look, nowMs: number): string[] {
  const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
  const when = (time: string | null) => (time === null ? '-' : `${time} (${formatAge(at(time), nowMs)})`);
  return [
    line('id', view.id),
    `${'state:'.padEnd(14)}${statePaint(view.state, color)(view.state.replace('_', ' '))}`,
    ...(view.reason === null ? [] : [line('reason', view.reason)]),
    ...(view.answer === null ? [] : [line('answer', view.answer)]),
    line('kind', view.step > 0 ? `${view.kind}, step ${view.step} of the escalation` : view.kind),
    line('about', view.title),
    line('subscription', view.subscription),
    line('channel', `${view.channel} (${view.channelKind})`),
    ...(view.recipients.length === 0 ? [] : [line('to', view.recipients.join(', '))]),
    ...(view.condition === null ? [] : [line('only if', `the alert is still ${view.condition}`)]),
    line('made', when(view.createdAt)),
    line('due', when(view.dueAt)),
    ...(view.endedAt === null
      ? [line('tried', `${plural(view.attempts, 'time')}; next ${formatAge(at(view.tryAt), nowMs)}`)]
      : [line('ended', `${when(view.endedAt)}, at attempt ${view.attempts}`)]),
    '',
    ...renderTable(
      [
        { title: 'ALERT', cell: (change) => change.alertId },
        { title: 'CHANGE', cell: (change) => change.change },
        { title: 'WHEN', cell: (change) => formatAge(at(change.at), nowMs) },
        { title: 'SEVERITY', cell: (change) => change.severity },
        { title: 'AGENT', cell: (change) => change.agent ?? '', shrinks: true },
        { title: 'TITLE', cell: (change) => change.title, shrinks: true },
      ],
      view.changes,
      columns,
    ),
  ];
}

export function renderChannels(views: readonly ChannelView[], { color, columns }: Look, nowMs: number): string[] {
  const paint = createColors(color);
  const table: Column<ChannelView>[] = [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'KIND', cell: ({ kind }) => kind },
    {
      title: 'STATE',
      cell: ({ fault, lastSentAt, subscriptions }) => {
        if (fault !== null) return 'away';
        if (subscriptions.length === 0) return 'unused';
        return lastSentAt === null ? 'nothing sent' : 'ok';
      },
      paint: (text, { fault }) => (fault === null ? paint.green(text) : paint.red(text)),
    },
    {
      title: 'PENDING',
      cell: ({ pending, oldestDueAt }) =>
        pending === 0 ? '0' : `${pending}, oldest ${formatAge(at(oldestDueAt), nowMs)}`,
    },
    { title: 'DEAD', cell: ({ dead }) => String(dead), paint: (text, { dead }) => (dead > 0 ? paint.red(text) : text) },
    { title: 'SENT 24H', cell: ({ sentLastDay }) => String(sentLastDay) },
    { title: 'TARGET', cell: ({ target }) => target, shrinks: true },
    { title: 'NOTE', cell: ({ fault }) => fault ?? '', shrinks: true },
  ];
  return renderTable(table, views, columns);
}

export function renderSubscriptions(views: readonly SubscriptionView[], { color, columns }: Look): string[] {
  const paint = createColors(color);
  const table: Column<SubscriptionView>[] = [
    { title: 'NAME', cell: ({ name }) => name },
    {
      title: 'STATE',
      cell: ({ enabled }) => (enabled ? 'on' : 'off'),
      paint: (text, { enabled }) => (enabled ? text : paint.dim(text)),
    },
    { title: 'SEVERITY', cell: ({ severity }) => severity },
    { title: 'WATCHES', cell: ({ watches }) => watches.join(',') || 'all', shrinks: true },
    { title: 'CHANNELS', cell: ({ channels }) => channels.join(','), shrinks: true },
    { title: 'TO', cell: ({ recipients }) => recipients.join(','), shrinks: true },
    { title: 'OPEN', cell: ({ openAlerts }) => String(openAlerts) },
    { title: 'PENDING', cell: ({ pending }) => String(pending) },
    { title: 'WAITING', cell: ({ waiting }) => String(waiting) },
    { title: 'DEAD', cell: ({ dead }) => String(dead), paint: (text, { dead }) => (dead > 0 ? paint.red(text) : text) },
    { title: 'SENT 24H', cell: ({ sentLastDay }) => String(sentLastDay) },
  ];
  return renderTable(table, views, columns);
}
