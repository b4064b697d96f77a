import type { Alert } from '../../alerts/alert.ts';
import type { Message, MessageItem, NotificationKind } from '../message.ts';

/** What a test message shows, and what templates are tried with when they are declared. Everything in it needs escaping somewhere. */
export function sampleMessage(
  kind: NotificationKind,
  over: Partial<Message> = {},
  at = new Date('2026-01-02T03:04:05Z'),
): Message {
  const items = kind === 'digest' ? [sampleItem('opened', at), sampleItem('closed', at)] : [sampleItem(kind, at)];
  return {
    id: '00000000-0000-7000-8000-000000000000',
    kind,
    subscription: 'sample',
    channel: 'sample',
    step: 0,
    recipients: [],
    rootId: '00000000-0000-7000-8000-000000000000',
    attempt: 1,
    createdAt: at,
    items,
    timeZone: 'UTC',
    ...over,
  };
}

export function sampleItem(kind: NotificationKind, at: Date): MessageItem {
  const closed = kind === 'closed';
  const alert: Alert = {
    id: '42',
    subject: { kind: 'monitor', agentId: 'agent-1', watch: 'linux/disk-space', key: '/var' },
    agentName: 'web-1',
    labels: { env: 'test', role: 'web' },
    severity: 'warning',
    title: 'Disk /var is almost full: "95 %" & <rising>',
    description: 'A sample alert.\nNothing is wrong.',
    state: closed ? 'closed' : 'new',
    owner: '',
    count: 2,
    firstAt: new Date(at.getTime() - 600_000),
    lastAt: at,
    closedAt: closed ? at : undefined,
    maintenanceId: '',
  };
  return { alert, change: { id: 1, kind: closed ? 'closed' : 'raised', at, by: alert.subject.watch, comment: '' } };
}
