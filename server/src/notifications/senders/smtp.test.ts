import { afterEach, describe, expect, it } from 'vitest';
import { selfSigned } from '../../api/testing.ts';
import type { ChannelSpec, SmtpTarget } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import { sampleMessage } from '../templates/sample.ts';
import { type MailServer, type MailServerOptions, startMailServer } from '../testing/mail-server.ts';
import { type Delivery, type Hand, NotHandedOver, type Sender } from './sender.ts';
import { createSmtpSender } from './smtp.ts';

const tls = await selfSigned('localhost');
const CERTIFIED = { key: tls.keyPem, cert: tls.certificatePem };
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function server(options: MailServerOptions = CERTIFIED): Promise<MailServer> {
  const started = await startMailServer(options);
  open.push(started);
  return started;
}

function sender(port: number, over: Partial<SmtpTarget> = {}, secret = 'hunter2'): Sender {
  const target: SmtpTarget = {
    kind: 'smtp',
    host: 'localhost',
    port,
    tls: 'starttls',
    ca: tls.certificatePem,
    auth: undefined,
    from: { name: 'Openline «ops»', address: 'alerts@example.com' },
    replyTo: undefined,
    ...over,
  };
  const spec: ChannelSpec = {
    target,
    concurrency: 2,
    rate: undefined,
    timeoutMs: 5_000,
    giveUpAfterMs: 60_000,
    whenUncertain: 'keep',
    templates: {},
  };
  const made = createSmtpSender(target, spec, () => secret);
  open.push(made);
  return made;
}

const message = (over: Partial<Message> = {}) =>
  sampleMessage('opened', { recipients: ['a@example.com', 'b@example.com'], ...over });
const send = (from: Sender, what = message(), hand: Partial<Hand> = {}): Promise<Delivery> =>
  from.send(what, { handOver: async () => {}, signal: AbortSignal.timeout(25_000), templates: {}, ...hand });

describe('a mail', () => {
  it('goes by STARTTLS to every recipient, as text and HTML, with headers that say what it is', async () => {
    const smtp = await server();
    const first = message({ id: 'id-1', rootId: 'id-1' });
    expect(await send(sender(smtp.port), first)).toEqual({ kind: 'delivered', answer: '250 OK queued as 1' });
    const [mail] = await smtp.received(1);
    expect(mail).toMatchObject({ from: 'alerts@example.com', to: ['a@example.com', 'b@example.com'], secure: true });
    expect(mail?.subject).toBe('[warning] Disk /var is almost full: "95 %" & <rising> on web-1');
    expect(mail?.messageId).toBe('<id-1@example.com>');
    expect(mail?.text).toContain('Disk /var is almost full: "95 %" & <rising>');
    expect(mail?.html).toContain('Disk &#x2F;var is almost full: &quot;95 %&quot; &amp; &lt;rising&gt;');
    expect(mail?.html).not.toMatch(/src=|href=|url\(/);
    expect(mail?.headers.get('auto-submitted')).toBe('auto-generated');
    expect(mail?.headers.get('x-openline-watch')).toBe('linux/disk-space');
    expect(mail?.headers.has('in-reply-to')).toBe(false);
    expect(mail?.raw).toMatch(/Content-Type: multipart\/alternative/);
  });

  it('about what becomes of an alert answers the first one about it', async () => {
    const smtp = await server();
    await send(
      sender(smtp.port),
      sampleMessage('closed', { id: 'id-2', rootId: 'id-1', recipients: ['a@example.com'] }),
    );
    const [mail] = await smtp.received(1);
    expect(mail?.headers.get('in-reply-to')).toBe('<id-1@example.com>');
    expect(mail?.headers.get('references')).toBe('<id-1@example.com>');
    expect(mail?.subject).toMatch(/^\[closed\] /);
  });

  it('takes no header, recipient or command out of what an alert says', async () => {
    const smtp = await server();
    const evil = 'x\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\n.\n‮\0';
    const item = message().items[0];
    if (item === undefined) throw new Error('no item');
    const alert = {
      ...item.alert,
      title: evil,
      description: evil,
      agentName: evil,
      subject: { ...item.alert.subject, watch: evil },
    };
    const what = message({ items: [{ ...item, alert }], subscription: evil });
    expect(await send(sender(smtp.port), what)).toMatchObject({ kind: 'delivered' });
    const [mail] = await smtp.received(1);
    expect(mail?.to).toEqual(['a@example.com', 'b@example.com']);
    expect([...(mail?.headers.keys() ?? [])].filter((name) => /bcc|^mail/.test(name))).toEqual([]);
    expect(mail?.subject).not.toMatch(/[\r\n\0]/);
    expect(smtp.mails).toHaveLength(1);
  });

  it('goes over one connection with the ones after it, also when that has died meanwhile', async () => {
    const smtp = await server();
    const mailer = sender(smtp.port);
    for (let i = 0; i < 3; i++) await send(mailer);
    expect([smtp.connections(), smtp.mails.length]).toEqual([1, 3]);
    await smtp.close();
    const back = await server({ ...CERTIFIED, port: smtp.port });
    expect(await send(mailer)).toMatchObject({ kind: 'delivered' });
    expect(back.mails).toHaveLength(1);
  });
});

describe('a mail server', () => {
  it('is told the password over TLS only, from the first byte or after STARTTLS', async () => {
    const user = { name: 'openline', password: 'hunter2' };
    for (const implicitTls of [true, false]) {
      const smtp = await server({ ...CERTIFIED, user, implicitTls });
      const auth = { user: 'openline', password: { from: 'env', name: 'X' } } as const;
      const way = { tls: implicitTls ? 'tls' : 'starttls', auth } as const;
      expect(await send(sender(smtp.port, way))).toMatchObject({ kind: 'delivered' });
      expect(smtp.mails[0]).toMatchObject({ user: 'openline', secure: true });
      const refused = await send(sender(smtp.port, way, 'wrong'));
      expect(refused).toMatchObject({ kind: 'away', reason: expect.stringMatching(/535/) });
      expect(JSON.stringify(refused)).not.toContain('wrong"');
    }
  });

  it.each([
    ['that offers no STARTTLS', {}, {}, /STARTTLS|TLS/i],
    [
      'whose certificate is of somebody else',
      CERTIFIED,
      { ca: undefined },
      /^self-signed certificate: name who signed it, with the channel's 'ca'/,
    ],
    ['whose certificate is for another name', CERTIFIED, { host: '127.0.0.1' }, /altnames|certificate/i],
  ])('%s gets nothing, not even a password', async (_what, options, over, reason) => {
    const smtp = await server(options);
    const outcome = await send(sender(smtp.port, over));
    expect(outcome).toMatchObject({ kind: 'away', reason: expect.stringMatching(reason) });
    expect(smtp.mails).toEqual([]);
  });

  it('that is not there is away', async () => {
    const smtp = await startMailServer();
    await smtp.close();
    expect(await send(sender(smtp.port))).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  it('that refuses some of the recipients serves the others, and says which', async () => {
    const smtp = await server({ ...CERTIFIED, rejects: { 'b@example.com': 550, 'c@example.com': 450 } });
    const to = ['a@example.com', 'b@example.com', 'c@example.com'];
    expect(await send(sender(smtp.port), message({ recipients: to }))).toMatchObject({
      kind: 'delivered',
      refused: [
        { recipient: 'b@example.com', forGood: true, reason: expect.stringMatching(/^550/) },
        { recipient: 'c@example.com', forGood: false, reason: expect.stringMatching(/^450/) },
      ],
    });
    expect(smtp.mails[0]?.to).toEqual(['a@example.com']);
  });

  it.each([
    ['every recipient for good', { rejects: { 'a@example.com': 550, 'b@example.com': 550 } }, 'refused'],
    ['every recipient for now', { rejects: { 'a@example.com': 450, 'b@example.com': 550 } }, 'deferred'],
    ['the sender', { rejectsSender: () => 553 }, 'away'],
    [
      'the message for good',
      { beforeAccept: () => Promise.reject(Object.assign(new Error('spam'), { responseCode: 554 })) },
      'refused',
    ],
    [
      'the message for now',
      { beforeAccept: () => Promise.reject(Object.assign(new Error('busy'), { responseCode: 451 })) },
      'deferred',
    ],
  ])('that refuses %s is understood, and is asked over the same connection again', async (_what, options, kind) => {
    let refuse = true;
    const smtp = await server({
      ...CERTIFIED,
      ...options,
      ...('beforeAccept' in options ? { beforeAccept: () => (refuse ? options.beforeAccept() : undefined) } : {}),
      ...('rejectsSender' in options ? { rejectsSender: () => (refuse ? options.rejectsSender() : undefined) } : {}),
    });
    const mailer = sender(smtp.port);
    expect(await send(mailer)).toMatchObject({ kind });
    refuse = false;
    expect(await send(mailer, message({ recipients: ['ok@example.com'] }))).toMatchObject({ kind: 'delivered' });
    expect(smtp.connections()).toBe(1);
  });
});

describe('the moment of handing over', () => {
  it('comes when the mail server has had everything but the end: what is kept back then is never a mail', async () => {
    const smtp = await server();
    const mailer = sender(smtp.port);
    const kept = send(mailer, message(), { handOver: () => Promise.reject(new NotHandedOver('somebody else has it')) });
    await expect(kept).rejects.toThrow('somebody else has it');
    // The next one shows that the server is done with that connection.
    expect(await send(mailer)).toMatchObject({ kind: 'delivered' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('is awaited before the end is sent', async () => {
    const order: string[] = [];
    const smtp = await server({ ...CERTIFIED, beforeAccept: () => void order.push('the server has it') });
    let release = () => {};
    const recorded = new Promise<void>((resolve) => {
      release = resolve;
    });
    const sent = send(sender(smtp.port), message(), {
      async handOver() {
        order.push('handing over');
        setImmediate(() => {
          order.push('recorded');
          release();
        });
        await recorded;
      },
    });
    await sent;
    expect(order).toEqual(['handing over', 'recorded', 'the server has it']);
  });

  it('passed without an answer makes it uncertain; before it, nothing was sent', async () => {
    let smtp: MailServer | undefined;
    smtp = await server({ ...CERTIFIED, beforeAccept: () => new Promise(() => void smtp?.close()) });
    expect(await send(sender(smtp.port))).toMatchObject({ kind: 'uncertain' });

    const other = await server();
    const cut = send(sender(other.port), message(), {
      async handOver() {
        await other.close();
        throw new Error('and so was the database');
      },
    });
    await expect(cut).rejects.toThrow(NotHandedOver);
  });

  it('is decided by the time that a message has', async () => {
    const time = new AbortController();
    // It is over when the mail has been given whole, and is not answered.
    const over = () => {
      time.abort(new Error('it took longer than 1 s'));
      return new Promise<void>(() => {});
    };
    const smtp = await server({ ...CERTIFIED, beforeAccept: over });
    const late = await send(sender(smtp.port), message(), { signal: time.signal });
    expect(late).toMatchObject({
      kind: 'uncertain',
      reason: expect.stringMatching(/after the message was handed over/),
    });
  });
});
