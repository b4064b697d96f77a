import { SEVERITIES } from '@openline/packs';
import { booleanOf, choiceOf, durationOf, type Fields, fieldsOf, itemsOf, need, textOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import type { DeclaredKind, ParseContext } from '../../declared/declared.ts';
import { selectorOf, textsOf, timeZoneOf } from '../../declared/readers.ts';
import { isAddress } from '../channels/addresses.ts';
import { CHANNEL_KINDS } from '../channels/channel.ts';
import { HAS_NO_RECIPIENTS, NEEDS_RECIPIENTS } from '../channels/channel-kind.ts';
import { readTemplates } from '../templates/read-templates.ts';
import { ConditionError, compileCondition } from './criteria.ts';
import { readDigest, readSchedule } from './read-times.ts';
import { type Criteria, FOLLOW_UPS, type Send, type Step, type SubscriptionSpec } from './subscription.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const MAX_AFTER_MS = 30 * DAY_MS;
const MAX_SENDS = 20;
const MAX_RECIPIENTS = 100;
const MAX_STEPS = 10;
const FIELDS = [
  'enabled',
  'criteria',
  'send',
  'after',
  'unless',
  'followUps',
  'escalation',
  'reminder',
  'schedule',
  'digest',
  'timeZone',
  'templates',
] as const;
const UNLESS = ['closed', 'acknowledged'] as const;

export const subscriptionKind: Omit<DeclaredKind<SubscriptionSpec>, 'saving'> = {
  kind: 'Subscription',
  plural: 'subscriptions',
  role: 'admin',
  parse(node, context) {
    const { report } = context;
    const fields = fieldsOf(report, node, 'the subscription', FIELDS);
    const enabled = booleanOf(report, fields.enabled?.value, "'enabled'") ?? true;
    const criteria = readCriteria(report, fields.criteria?.value);
    const first = readFirst(context, node, fields);
    const followUps = readFollowUps(report, fields.followUps?.value);
    const escalation = readEscalation(context, fields.escalation?.value);
    const reminder = readReminder(report, fields.reminder?.value);
    // One that there is not is said once, and not missed by `schedule` as well.
    const timeZone = fields.timeZone && (timeZoneOf(report, fields.timeZone.value) ?? 'UTC');
    const schedule = readSchedule(report, fields.schedule?.value, timeZone);
    const digest = readDigest(report, fields.digest?.value, timeZone);
    if (digest !== undefined && fields.after !== undefined) {
      report.add(fields.after.keyAt, "a 'digest' tells what happened, so 'after' has no place beside it");
    }
    if (digest !== undefined && fields.reminder !== undefined) {
      report.add(fields.reminder.keyAt, "'reminder' has no place beside a 'digest'");
    }
    const templates = readTemplates(report, fields.templates?.value, CHANNEL_KINDS);
    const steps = [first, ...escalation];
    return { enabled, criteria, steps, followUps, schedule, digest, reminder, templates, timeZone: timeZone ?? 'UTC' };
  },
};

function readCriteria(report: Report, node: Located | undefined): Criteria {
  const fields =
    node === undefined ? {} : fieldsOf(report, node, "'criteria'", ['severity', 'watches', 'kinds', 'agents', 'where']);
  const kinds = textsOf(report, fields.kinds?.value, "'kinds'", 3, 20).flatMap(({ text, at }) => {
    const kind = (['rule', 'monitor', 'line'] as const).find((each) => each === text);
    if (kind === undefined) report.add(at, "'kinds' are rule, monitor and line");
    return kind ?? [];
  });
  return {
    severity: choiceOf(report, fields.severity?.value, "'severity'", SEVERITIES) ?? 'information',
    watches: textsOf(report, fields.watches?.value, "'watches'", 100, 200).map(({ text }) => text),
    kinds: new Set(kinds),
    agents: readAgents(report, fields.agents?.value),
    where: readWhere(report, fields.where?.value),
  };
}

function readAgents(report: Report, node: Located | undefined): Criteria['agents'] {
  const selector = selectorOf(report, node, "'agents'");
  return selector === undefined || selector.length === 0 ? undefined : selector;
}

function readWhere(report: Report, node: Located | undefined): Criteria['where'] {
  const text = textOf(report, node, "'where'", 2_000);
  if (text === undefined || node === undefined) return undefined;
  try {
    return compileCondition(text);
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    const at = node.kind === 'scalar' && node.textAt !== undefined ? node.textAt + error.at : node.at;
    report.add(at, `'where': ${error.message}`);
    return undefined;
  }
}

function readFirst(context: ParseContext, node: Located, fields: Fields<'send' | 'after' | 'unless'>): Step {
  const { report } = context;
  const afterMs = durationOf(report, fields.after?.value, "'after'", { min: 1_000, max: MAX_AFTER_MS }) ?? 0;
  const unless = choiceOf(report, fields.unless?.value, "'unless'", UNLESS);
  if (fields.unless !== undefined && fields.after === undefined) {
    report.add(fields.unless.keyAt, "'unless' has a meaning only with 'after'");
  }
  const sendNode = need(
    report,
    node.at,
    fields.send?.value,
    "the subscription needs 'send': channels, and whom to tell",
  );
  return { afterMs, unless: unless ?? 'closed', send: readSends(context, sendNode) };
}

function readEscalation(context: ParseContext, node: Located | undefined): Step[] {
  const { report } = context;
  const items = itemsOf(report, node, "'escalation'");
  if (node !== undefined && items.length > MAX_STEPS)
    report.add(node.at, `'escalation' has at most ${MAX_STEPS} steps`);
  return items.map((item): Step => {
    const fields = fieldsOf(report, item, 'a step of the escalation', ['after', 'unless', 'send']);
    const afterNode = need(report, item.at, fields.after?.value, "a step of the escalation needs 'after'");
    const sendNode = need(report, item.at, fields.send?.value, "a step of the escalation needs 'send'");
    return {
      afterMs: durationOf(report, afterNode, "'after'", { min: 1_000, max: MAX_AFTER_MS }) ?? 0,
      unless: choiceOf(report, fields.unless?.value, "'unless'", UNLESS) ?? 'acknowledged',
      send: readSends(context, sendNode),
    };
  });
}

function readSends({ report, refer }: ParseContext, node: Located | undefined): Send[] {
  const items = itemsOf(report, node, "'send'");
  if (node?.kind === 'list' && items.length === 0) report.add(node.at, "'send' is empty");
  if (node !== undefined && items.length > MAX_SENDS) report.add(node.at, `'send' has at most ${MAX_SENDS} entries`);
  const sends = new Map<string, Send>();
  for (const item of items) {
    const fields = fieldsOf(report, item, "an entry of 'send'", ['channel', 'to']);
    const channelNode = need(report, item.at, fields.channel?.value, "an entry of 'send' needs 'channel'");
    const channel = textOf(report, channelNode, "'channel'", 63);
    const to = textsOf(report, fields.to?.value, "'to'", MAX_RECIPIENTS, 254).flatMap(({ text, at }) => {
      if (isAddress(text)) return text;
      report.add(at, "'to' must be mail addresses, such as oncall@example.com");
      return [];
    });
    if (channel === undefined || channelNode === undefined) continue;
    const unless =
      fields.to === undefined
        ? { trait: NEEDS_RECIPIENTS, message: `the channel '${channel}' sends mails: say to whom, with 'to'` }
        : { trait: HAS_NO_RECIPIENTS, message: `the channel '${channel}' itself says where to: leave out 'to'` };
    refer('Channel', channel, channelNode.at, unless);
    const send: Send = { channel, to: [...new Set(to)].sort() };
    sends.set(JSON.stringify(send), send);
  }
  return [...sends.values()];
}

function readFollowUps(report: Report, node: Located | undefined): SubscriptionSpec['followUps'] {
  if (node === undefined) return new Set(['severity', 'closed']);
  if (node.kind === 'list' && node.items.length === 0) return new Set();
  const words = textsOf(report, node, "'followUps'", FOLLOW_UPS.length, 20);
  return new Set(
    words.flatMap(({ text, at }) => {
      const followUp = FOLLOW_UPS.find((each) => each === text);
      if (followUp === undefined) report.add(at, `'followUps' are ${FOLLOW_UPS.join(', ')}`);
      return followUp ?? [];
    }),
  );
}

function readReminder(report: Report, node: Located | undefined): SubscriptionSpec['reminder'] {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'reminder'", ['every', 'unless']);
  const everyNode = need(report, node.at, fields.every?.value, "'reminder' needs 'every'");
  const everyMs = durationOf(report, everyNode, "'every'", { min: MINUTE_MS, max: MAX_AFTER_MS });
  const unless = choiceOf(report, fields.unless?.value, "'unless'", UNLESS) ?? 'closed';
  return everyMs === undefined ? undefined : { everyMs, unless };
}
