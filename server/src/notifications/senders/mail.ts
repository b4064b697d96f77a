import MailComposer from 'nodemailer/lib/mail-composer';
import type { SmtpTarget } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import type { Mail } from '../templates/render.ts';

/** The same for every attempt, and for one that a person sends again: a mail program that got it twice shows it once. */
export function messageIdOf(id: string, { from }: SmtpTarget): string {
  return `<${id}@${from.address.slice(from.address.indexOf('@') + 1)}>`;
}

/** RFC 5322, as it is handed over. The library encodes and folds headers, and keeps line ends out of them. */
export function composeMail(message: Message, mail: Mail, target: SmtpTarget): Promise<Buffer> {
  const { kind, rootId, id, items, subscription, recipients } = message;
  const root = rootId === id ? undefined : messageIdOf(rootId, target);
  const alert = kind === 'digest' ? undefined : items.at(-1)?.alert;
  const headers: Record<string, string> = {
    // RFC 3834: no out-of-office notes in answer, please; the second is Exchange's.
    'Auto-Submitted': 'auto-generated',
    'X-Auto-Response-Suppress': 'All',
    'X-Openline-Kind': kind,
    'X-Openline-Subscription': subscription,
    ...(alert && {
      'X-Openline-Alert': alert.id,
      'X-Openline-Severity': alert.severity,
      'X-Openline-Watch': alert.subject.watch,
      'X-Openline-Agent': alert.agentName,
    }),
  };
  const composer = new MailComposer({
    from: target.from,
    to: recipients.map((address) => ({ name: '', address })),
    ...(target.replyTo === undefined ? {} : { replyTo: target.replyTo }),
    subject: mail.subject,
    text: mail.text,
    ...(mail.html === undefined ? {} : { html: mail.html }),
    messageId: messageIdOf(id, target),
    ...(root === undefined ? {} : { inReplyTo: root, references: [root] }),
    // When it happened, however long the mail server was away.
    date: message.createdAt,
    headers,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return composer.compile().build();
}
