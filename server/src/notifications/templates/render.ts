import type { TemplateTexts } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import { CHAT, HTML, SUBJECT, TEXT } from './builtin.ts';
import { compileTemplate, type Escaping, type Template } from './template.ts';
import { viewOf } from './view.ts';

/** The forms that messages take. */

export interface Mail {
  readonly subject: string;
  readonly text: string;
  /** Absent: a template for the text was given and none for HTML, so there is only text. */
  readonly html: string | undefined;
}

const MAX_SUBJECT_CHARS = 200;

/** @param templates the more special ones first */
export function renderMail(message: Message, ...templates: readonly TemplateTexts[]): Mail {
  const view = viewOf(message);
  const own = pick(templates);
  const html = own.html ?? (own.text === undefined ? HTML : undefined);
  return {
    subject: oneLine(compiled(own.subject ?? SUBJECT, 'none').render(view)),
    text: tidy(compiled(own.text ?? TEXT, 'none').render(view)),
    html: html === undefined ? undefined : compiled(html, 'html').render(view),
  };
}

export function renderChat(
  message: Message,
  escaping: 'none' | 'mrkdwn',
  ...templates: readonly TemplateTexts[]
): string {
  return tidy(compiled(pick(templates).text ?? CHAT, escaping).render(viewOf(message))).trim();
}

/** JSON text: a template's, or the whole message. */
export function renderBody(message: Message, ...templates: readonly TemplateTexts[]): string {
  const { body } = pick(templates);
  return body === undefined ? JSON.stringify(jsonOf(message)) : compiled(body, 'json').render(viewOf(message));
}

/**
 * What webhooks and programs get. Public: fields are added, never renamed or removed. `alert` and `change` are those of the only, or the
 * newest, item.
 */
export function jsonOf(message: Message): object {
  const items = message.items.map(({ alert, change }) => ({
    alert: {
      id: alert.id,
      kind: alert.subject.kind,
      agentId: alert.subject.agentId,
      agent: alert.agentName,
      labels: alert.labels,
      watch: alert.subject.watch,
      key: alert.subject.key,
      severity: alert.severity,
      title: alert.title,
      description: alert.description,
      state: alert.state,
      owner: alert.owner,
      count: alert.count,
      firstAt: alert.firstAt.toISOString(),
      lastAt: alert.lastAt.toISOString(),
      closedAt: alert.closedAt?.toISOString() ?? null,
    },
    change: { kind: change.kind, at: change.at.toISOString(), by: change.by, comment: change.comment },
  }));
  const newest = items.at(-1);
  return {
    version: 1,
    id: message.id,
    kind: message.kind,
    test: message.kind === 'test',
    attempt: message.attempt,
    subscription: message.subscription,
    channel: message.channel,
    step: message.step,
    createdAt: message.createdAt.toISOString(),
    alert: newest?.alert ?? null,
    change: newest?.change ?? null,
    items,
  };
}

function pick(templates: readonly TemplateTexts[]): TemplateTexts {
  return Object.assign({}, ...templates.toReversed());
}

const MAX_COMPILED = 500;
const known = new Map<string, Template>();

function compiled(text: string, escaping: Escaping): Template {
  const key = `${escaping} ${text}`;
  let template = known.get(key);
  if (template === undefined) {
    if (known.size >= MAX_COMPILED) known.clear();
    template = compileTemplate(text, escaping);
    known.set(key, template);
  }
  return template;
}

/** A header: whatever an alert's title holds. */
function oneLine(text: string): string {
  const line = text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .toWellFormed();
  return line.length > MAX_SUBJECT_CHARS ? `${line.slice(0, MAX_SUBJECT_CHARS - 1)}…` : line;
}

/** Control characters other than line ends and tabs do nothing good in anybody's terminal or mail program. */
function tidy(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, '').toWellFormed();
}
