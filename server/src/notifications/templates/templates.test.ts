import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from '../message.ts';
import { renderBody, renderChat, renderMail } from './render.ts';
import { sampleItem, sampleMessage } from './sample.ts';
import { compileTemplate } from './template.ts';
import { durationWords, formatTime } from './times.ts';
import { viewOf } from './view.ts';

const at = new Date('2026-01-02T03:04:05Z');
const withTitle = (title: string, over: Partial<Message> = {}) => {
  const item = sampleItem('opened', at);
  return sampleMessage('opened', {
    items: [{ ...item, alert: { ...item.alert, title, description: title } }],
    ...over,
  });
};

describe('the built-in mail', () => {
  it.each([
    ['The disk is full', 'The disk is full on web-1'],
    ['web-1: the agent is down', 'web-1: the agent is down'],
    ['It comes from web-1.', 'It comes from web-1.'],
    ['web-10 does not answer', 'web-10 does not answer on web-1'],
    ['web-1.example does not answer', 'web-1.example does not answer on web-1'],
  ])('names the agent once: %s', (title, headline) => {
    expect(renderMail(withTitle(title)).subject).toBe(`[warning] ${headline}`);
  });

  it('says what is wrong, where, since when, and why one is told', () => {
    const { subject, text } = renderMail(sampleMessage('opened', { timeZone: 'Europe/Berlin', step: 1 }));
    expect(subject).toBe('[escalation 1: warning] Disk /var is almost full: "95 %" & <rising> on web-1');
    expect(text).toBe(
      `
Disk /var is almost full: "95 %" & <rising>

Severity:  warning
State:     new
Agent:     web-1
Watch:     linux/disk-space (/var)
Since:     2026-01-02 03:54:05 Europe/Berlin
Repeated:  2 times, last 2026-01-02 04:04:05 Europe/Berlin
By:        linux/disk-space

A sample alert.
Nothing is wrong.

-- 
Alert 42: openline alerts show 42
Sent because of the subscription sample, step 1 of its escalation.
`.trimStart(),
    );
  });

  it('says when it is over, and how long it lasted', () => {
    const { subject, text } = renderMail(sampleMessage('closed'));
    expect(subject).toMatch(/^\[closed\] /);
    expect(text).toContain('Closed:    2026-01-02 03:04:05 UTC, after 10 min');
  });

  it('of a digest lists what happened, and counts what is too much', () => {
    const items = Array.from({ length: 250 }, () => sampleItem('opened', at));
    const { subject, text, html } = renderMail(sampleMessage('digest', { items }));
    expect(subject).toBe('[digest] 1 alert');
    expect(text.match(/^- /gm)).toHaveLength(200);
    expect(text).toContain('and 50 earlier ones');
    expect(html).toContain('and 50 earlier ones');
  });
});

describe('a template of one’s own', () => {
  it('of the subscription wins over the channel’s, field by field', () => {
    const channel = { subject: 'channel {{headline}}', text: 'channel' };
    const mail = renderMail(withTitle('T'), { subject: 'mine: {{alert.labels.role}} {{alert.title}}' }, channel);
    expect(mail).toEqual({ subject: 'mine: web T', text: 'channel', html: undefined });
  });

  it('can tell apart what there is and what there is not', () => {
    const text =
      '{{#alert.isOpen}}open{{/alert.isOpen}}{{^alert.owner}} nobody{{/alert.owner}}{{#items}} {{alert.key}}{{#alert.labelList}} {{name}}={{value}}{{/alert.labelList}}{{/items}}{{alert.labels.none}}';
    expect(compileTemplate(text, 'none').render(viewOf(sampleMessage('opened')))).toBe(
      'open nobody /var env=test role=web',
    );
  });
});

const nasty = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '</title><script>alert(1)</script>',
    '\r\nBcc: a@b\r\n\r\nx',
    '{{alert.owner}}',
    '"}',
    '<!channel>',
    '\u2028.\r\n.\r\n',
    '\ud800',
  ),
);

describe('whatever an alert says', () => {
  it('is text in HTML', () => {
    fc.assert(
      fc.property(nasty, (title) => {
        const { html = '' } = renderMail(withTitle(`x${title}`));
        // The marks of the template itself, and none more.
        const { html: plain = '' } = renderMail(withTitle('x'));
        const marks = (text: string) => text.match(/[<>]/g)?.length;
        expect(marks(html)).toBe(marks(plain));
      }),
    );
  });

  it('is one line in a subject, and a string in JSON', () => {
    fc.assert(
      fc.property(nasty, (title) => {
        expect(renderMail(withTitle(title)).subject).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        const body = renderBody(withTitle(title), { body: '{"a": "{{alert.title}}", "b": ["{{alert.description}}"]}' });
        expect(JSON.parse(body)).toEqual({ a: title, b: [title] });
        JSON.parse(renderBody(withTitle(title)));
      }),
    );
  });

  it('mentions nobody in a chat', () => {
    fc.assert(fc.property(nasty, (title) => !/[<>]/.test(renderChat(withTitle(title), 'mrkdwn'))));
  });
});

describe('words for times', () => {
  it('are short', () => {
    expect([0, 59_000, 61_000, 3_600_000, 90_061_000].map(durationWords)).toEqual([
      '0 s',
      '59 s',
      '1 min 1 s',
      '1 h',
      '1 d 1 h',
    ]);
    expect(formatTime(at, 'Asia/Kolkata')).toBe('2026-01-02 08:34:05 Asia/Kolkata');
  });
});
