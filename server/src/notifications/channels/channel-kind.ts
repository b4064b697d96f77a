import { choiceOf, durationOf, fieldsOf, integerOf, textOf } from '@openline/packs/read';
import type { Entry, Located, Report } from '@openline/packs/source';
import type { DeclaredKind } from '../../declared/declared.ts';
import { readTemplates } from '../templates/read-templates.ts';
import { CHANNEL_KINDS, type ChannelKind, type ChannelSpec, type ChannelTarget } from './channel.ts';
import { readAlertmanager, readChat, readCommand, readSmtp, readWebhook } from './read-targets.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Chats and programs would show a message twice; webhooks and Alertmanager know it by its id. */
const WHEN_UNCERTAIN = {
  smtp: 'keep',
  slack: 'keep',
  teams: 'keep',
  command: 'keep',
  webhook: 'resend',
  alertmanager: 'resend',
} as const satisfies Record<ChannelKind, ChannelSpec['whenUncertain']>;

/** Traits that subscriptions look for. */
export const NEEDS_RECIPIENTS = 'needs recipients';
export const HAS_NO_RECIPIENTS = 'has no recipients';

const COMMON = ['concurrency', 'rate', 'timeout', 'giveUpAfter', 'whenUncertain', 'templates'] as const;

export const channelKind: Omit<DeclaredKind<ChannelSpec>, 'saving'> = {
  kind: 'Channel',
  plural: 'channels',
  role: 'admin',
  parse(node, { report, trait }) {
    const channel = readChannel(node, report);
    if (channel !== undefined) trait(channel.target.kind === 'smtp' ? NEEDS_RECIPIENTS : HAS_NO_RECIPIENTS);
    return channel;
  },
};

function readChannel(node: Located, report: Report): ChannelSpec | undefined {
  const fields = fieldsOf(report, node, 'the channel', [...CHANNEL_KINDS, ...COMMON]);
  const given = CHANNEL_KINDS.filter((kind) => fields[kind] !== undefined);
  const [kind] = given;
  const entry = kind === undefined ? undefined : fields[kind];
  if (kind === undefined || entry === undefined || given.length > 1) {
    report.add(
      node.at,
      `a channel is one of ${CHANNEL_KINDS.join(', ')}; this one is ${given.join(' and ') || 'none'}`,
    );
    return undefined;
  }
  const target = readTarget(kind, entry, report);
  const concurrency = integerOf(report, fields.concurrency?.value, "'concurrency'", 1, 50);
  const timeoutMs = durationOf(report, fields.timeout?.value, "'timeout'", { min: 1_000, max: 5 * MINUTE_MS });
  const giveUpAfterMs = durationOf(report, fields.giveUpAfter?.value, "'giveUpAfter'", {
    min: MINUTE_MS,
    max: 30 * DAY_MS,
  });
  const whenUncertain = choiceOf(report, fields.whenUncertain?.value, "'whenUncertain'", ['keep', 'resend']);
  const rate = readRate(report, fields.rate?.value);
  const templates = readTemplates(report, fields.templates?.value, [kind]);
  if (target === undefined) return undefined;
  return {
    target,
    concurrency: concurrency ?? 4,
    rate,
    timeoutMs: timeoutMs ?? (kind === 'smtp' || kind === 'command' ? 60_000 : 15_000),
    giveUpAfterMs: giveUpAfterMs ?? 3 * DAY_MS,
    whenUncertain: whenUncertain ?? WHEN_UNCERTAIN[kind],
    templates,
  };
}

function readTarget(kind: ChannelKind, { value }: Entry, report: Report): ChannelTarget | undefined {
  switch (kind) {
    case 'smtp':
      return readSmtp(report, value);
    case 'webhook':
      return readWebhook(report, value);
    case 'slack':
    case 'teams':
      return readChat(report, value, kind);
    case 'alertmanager':
      return readAlertmanager(report, value);
    case 'command':
      return readCommand(report, value);
    default:
      return kind satisfies never;
  }
}

const RATE = /^(\d{1,6})\/([smh])$/;
const PER_MS: Readonly<Record<string, number>> = { s: 1_000, m: MINUTE_MS, h: HOUR_MS };

/** "10/s", "60/m", "500/h" */
function readRate(report: Report, node: Located | undefined): ChannelSpec['rate'] {
  if (node === undefined) return undefined;
  const match = RATE.exec(textOf(report, node, "'rate'", 20) ?? '');
  const messages = Number(match?.[1]);
  const perMs = PER_MS[match?.[2] ?? ''];
  if (perMs !== undefined && messages > 0) return { messages, perMs };
  report.add(node.at, "'rate' says how many messages at most, such as 10/s, 60/m or 500/h");
  return undefined;
}
