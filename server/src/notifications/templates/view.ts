import type { Alert } from '../../alerts/alert.ts';
import type { Message, MessageItem, NotificationKind } from '../message.ts';
import { durationWords, formatTime } from './times.ts';

/** What templates may name. Objects without a prototype: a name in a template finds what stands here, and nothing else. */

/** How names are checked when a template is declared: what each is, by its path. */
export type Shape =
  | 'text'
  | 'flag'
  | { readonly list: ShapeOf }
  | { readonly map: 'text' }
  | { readonly object: ShapeOf };
export type ShapeOf = { readonly [name: string]: Shape };

const ALERT_SHAPE = {
  id: 'text',
  kind: 'text',
  severity: 'text',
  title: 'text',
  headline: 'text',
  description: 'text',
  state: 'text',
  owner: 'text',
  count: 'text',
  repeated: 'flag',
  agent: 'text',
  agentId: 'text',
  watch: 'text',
  key: 'text',
  labels: { map: 'text' },
  labelList: { list: { name: 'text', value: 'text' } },
  firstAt: 'text',
  lastAt: 'text',
  closedAt: 'text',
  lasted: 'text',
  isCritical: 'flag',
  isWarning: 'flag',
  isInformation: 'flag',
  isOpen: 'flag',
  isAcknowledged: 'flag',
  isClosed: 'flag',
} as const satisfies ShapeOf;

const CHANGE_SHAPE = { kind: 'text', at: 'text', by: 'text', comment: 'text' } as const satisfies ShapeOf;

export const VIEW_SHAPE = {
  id: 'text',
  kind: 'text',
  label: 'text',
  headline: 'text',
  subscription: 'text',
  channel: 'text',
  step: 'text',
  isTest: 'flag',
  isDigest: 'flag',
  isEscalation: 'flag',
  count: 'text',
  omitted: 'text',
  alert: { object: ALERT_SHAPE },
  change: { object: CHANGE_SHAPE },
  items: { list: { alert: { object: ALERT_SHAPE }, change: { object: CHANGE_SHAPE } } },
} as const satisfies ShapeOf;

export type View = Readonly<Record<string, unknown>>;

/** More than these are counted, not listed. */
const MAX_ITEMS = 200;

export function viewOf(message: Message): View {
  const newest = message.items.at(-1);
  const omitted = message.items.length - MAX_ITEMS;
  return bare({
    id: message.id,
    kind: message.kind,
    label: labelOf(message),
    headline: headlineOf(message),
    subscription: message.subscription,
    channel: message.channel,
    step: String(message.step),
    isTest: message.kind === 'test',
    isDigest: message.kind === 'digest',
    isEscalation: message.step > 0,
    count: String(message.items.length),
    omitted: omitted > 0 ? String(omitted) : '',
    alert: newest === undefined ? bare({}) : alertView(newest, message.timeZone),
    change: newest === undefined ? bare({}) : changeView(newest, message.timeZone),
    items: message.items
      .slice(-MAX_ITEMS)
      .map((item) => bare({ alert: alertView(item, message.timeZone), change: changeView(item, message.timeZone) })),
  });
}

function alertView({ alert, change }: MessageItem, timeZone: string): View {
  const { subject } = alert;
  const labels = Object.entries(alert.labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return bare({
    id: alert.id,
    kind: subject.kind,
    severity: alert.severity,
    title: alert.title,
    headline: alertHeadline(alert),
    description: alert.description,
    state: alert.state,
    owner: alert.owner,
    count: String(alert.count),
    repeated: alert.count > 1,
    agent: alert.agentName,
    agentId: subject.agentId,
    watch: subject.watch,
    key: subject.key,
    labels: bare(Object.fromEntries(labels)),
    labelList: labels.map(([name, value]) => bare({ name, value })),
    firstAt: formatTime(alert.firstAt, timeZone),
    lastAt: formatTime(alert.lastAt, timeZone),
    closedAt: alert.closedAt === undefined ? '' : formatTime(alert.closedAt, timeZone),
    lasted: durationWords((alert.closedAt ?? change.at).getTime() - alert.firstAt.getTime()),
    isCritical: alert.severity === 'critical',
    isWarning: alert.severity === 'warning',
    isInformation: alert.severity === 'information',
    isOpen: alert.state !== 'closed',
    isAcknowledged: alert.state === 'acknowledged',
    isClosed: alert.state === 'closed',
  });
}

function changeView({ change }: MessageItem, timeZone: string): View {
  return bare({ kind: change.kind, at: formatTime(change.at, timeZone), by: change.by, comment: change.comment });
}

const KIND_WORDS = {
  opened: '',
  severity: 'now',
  acknowledged: 'acknowledged',
  assigned: 'assigned',
  commented: 'comment',
  closed: 'closed',
  reminder: 'still open',
  digest: 'digest',
  test: 'test',
} as const satisfies Record<NotificationKind, string>;

/** What stands in brackets before a subject: "critical", "closed", "still open: warning", "escalation 1: critical". */
function labelOf({ kind, step, items }: Message): string {
  const severity = items.at(-1)?.alert.severity ?? '';
  const word = KIND_WORDS[kind];
  if (kind === 'severity') return `now ${severity}`;
  if (kind === 'reminder') return `${word}: ${severity}`;
  if (kind === 'opened') return step > 0 ? `escalation ${step}: ${severity}` : severity;
  return word;
}

/** One line that says it all. */
export function headlineOf(message: Pick<Message, 'kind' | 'items'>): string {
  const [only] = message.items;
  if (message.kind === 'digest') {
    const alerts = new Map(message.items.map(({ alert }) => [alert.id, alert]));
    // As each was last: what is over by then wakes nobody.
    const closed = [...alerts.values()].filter(({ state }) => state === 'closed').length;
    const critical = [...alerts.values()].filter(
      (each) => each.state !== 'closed' && each.severity === 'critical',
    ).length;
    const parts = [critical > 0 ? `${critical} critical` : '', closed > 0 ? `${closed} closed` : ''];
    return [`${alerts.size} ${alerts.size === 1 ? 'alert' : 'alerts'}`, ...parts.filter((part) => part !== '')].join(
      ', ',
    );
  }
  if (only === undefined) return 'a message of Openline';
  return alertHeadline(only.alert);
}

/** Its title, and on which agent, where the title does not say so itself. */
function alertHeadline({ title, agentName }: Alert): string {
  const pieces = title.split(agentName);
  // Not within another name: web-1 is not in web-10.
  const named = pieces.some((before, i) => {
    const after = pieces[i + 1];
    return after !== undefined && !/[\w.-]$/.test(before) && !/^(\w|[.-]\w)/.test(after);
  });
  return agentName === '' || named ? title : `${title} on ${agentName}`;
}

/** A copy that inherits nothing. */
function bare(fields: Record<string, unknown>): View {
  return Object.assign(Object.create(null), fields);
}
