import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { throwAwayCertificates } from '../bench/certificates.ts';
import {
  became,
  cleanup,
  type EventAgent,
  eventAgent,
  eventually,
  fired,
  type MailServer,
  type MailServerOptions,
  readIdentity,
  runCli,
  scratchDir,
  startAgent,
  startMailServer,
  startServer,
  type TestServer,
} from '../harness/index.ts';

const PASSWORD = 'correct horse battery staple';
let server: TestServer;
let agent: EventAgent;
let certificates: Awaited<ReturnType<typeof throwAwayCertificates>>;

beforeAll(async () => {
  const dir = scratchDir('notifications');
  const commands = join(dir, 'commands');
  mkdirSync(commands, { recursive: true });
  writeFileSync(join(commands, 'tell.sh'), `#!/bin/sh\ncat >> ${dir}/told.jsonl\n`, { mode: 0o755 });
  mkdirSync(join(dir, '.openline', 'server', 'secrets'), { recursive: true });
  writeFileSync(join(dir, '.openline', 'server', 'secrets', 'smtp'), `${PASSWORD}\n`);
  certificates = await throwAwayCertificates();
  server = await startServer({
    dir,
    flags: [`--notify-commands=${commands}`, '--notify-allow=127.0.0.0/8'],
    env: { OPENLINE_SECRET_SMTP: PASSWORD },
  });
  const lent = await startAgent({ dir, server, name: 'web-1' });
  await lent.stop();
  agent = eventAgent(await readIdentity(lent.dataDir));
  await agent.connect(server.agentPort);
});
afterAll(async () => {
  agent?.disconnect();
  await cleanup();
});

const open: MailServer[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function mailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const tls = { key: certificates.server.keyPem, cert: certificates.server.certificatePem };
  const started = await startMailServer({ ...tls, user: { name: 'openline', password: PASSWORD }, ...options });
  open.push(started);
  return started;
}

async function cli(args: readonly string[], stdin = '') {
  const { code, stdout, stderr } = await runCli(server, args, { stdin });
  return { code, out: stdout.toString(), err: stderr };
}

function declarations(port: number, secret = '{env: OPENLINE_SECRET_SMTP}'): string {
  const ca = certificates.caPem.trim().replaceAll('\n', '\n      ');
  return `# Mails of the operators.
apiVersion: openline.dev/v1
kind: Channel
metadata:
  name: mail
spec:
  smtp:
    host: localhost
    port: ${port}
    ca: |
      ${ca}
    auth: {user: openline, password: ${secret}}
    from: Openline <alerts@example.com>
  giveUpAfter: 1h
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: operators}
spec:
  criteria: {severity: warning, watches: [test/disk, test/re*, test/while-*], agents: name=web-1}
  send:
    - {channel: mail, to: [ops@example.com]}
`;
}

describe('from an event on a node to a mail in an inbox', () => {
  it('is declared once, and then one mail says that it began and one that it is over', async () => {
    const smtp = await mailServer();
    expect(await cli(['apply', '-f', '-', '--dry-run'], declarations(smtp.port))).toMatchObject({
      code: 0,
      out: 'Channel/mail would be created\nSubscription/operators would be created\n',
    });
    expect(await cli(['apply', '-f', '-'], declarations(smtp.port))).toMatchObject({
      code: 0,
      out: 'Channel/mail created\nSubscription/operators created\n',
    });
    await agent.until(agent.say(became('critical')));
    const [first] = await smtp.received(1);
    expect(first).toMatchObject({
      from: 'alerts@example.com',
      to: ['ops@example.com'],
      secure: true,
      user: 'openline',
      subject: '[critical] the disk is critical on web-1',
    });
    expect(first?.text).toContain('Watch:     test/disk (/)');
    await agent.until(agent.say(became('healthy')));
    const [, last] = await smtp.received(2);
    expect(last?.subject).toBe('[closed] the disk is critical on web-1');
    expect(last?.headers.get('in-reply-to')).toBe(first?.messageId);

    const listed = await cli(['notifications', '-o', 'json']);
    const rows = JSON.parse(listed.out);
    expect(rows).toMatchObject([
      { kind: 'closed', state: 'sent', channel: 'mail', recipients: ['ops@example.com'], answer: '250 OK queued as 2' },
      { kind: 'opened', state: 'sent', subscription: 'operators' },
    ]);
    expect(first?.messageId).toBe(`<${rows[1].id}@example.com>`);
    const shown = await cli(['notifications', 'show', rows[0].id]);
    expect(shown.out).toMatch(/state: +sent\n.*about: +the disk is critical on web-1\n.*closed/s);
    expect((await cli(['notifications'])).out.split('\n')[0]).toMatch(
      /^ID +STATE +WHEN +KIND +CHANNEL +TO +TITLE +NOTE$/,
    );
    const { body } = await server.http('/metrics');
    expect(body).toMatch(/openline_notifications_total\{channel_kind="smtp",outcome="sent"\} 2/);
  });

  it('is tried out before it matters: the answer of the mail server, or what is wrong', async () => {
    const smtp = await mailServer();
    await cli(['apply', '-f', '-'], declarations(smtp.port, '{file: smtp}'));
    expect(await cli(['channels', 'test', 'mail', '--to', 'me@example.com'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^delivered in .*: 250 OK queued as 1\n$/),
    });
    expect(smtp.mails[0]?.subject).toMatch(/^\[test\] /);
    expect(await cli(['channels', 'test', 'mail'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/say to whom/),
    });
    await cli(['apply', '-f', '-'], declarations(smtp.port, '{env: OPENLINE_SECRET_OTHER}'));
    expect(await cli(['channels', 'test', 'mail', '--to', 'me@example.com'])).toMatchObject({
      code: 1,
      out: expect.stringMatching(/no environment variable OPENLINE_SECRET_OTHER/),
    });
  });

  it('goes to a program too, and the program may be no other than those of the server', async () => {
    const command = (program: string) => `apiVersion: openline.dev/v1
kind: Channel
metadata: {name: tell}
spec: {command: {program: ${program}}}
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: told}
spec: {criteria: {watches: [test/only-told]}, send: [{channel: tell}]}
`;
    expect((await cli(['apply', '-f', '-'], command('tell.sh'))).code).toBe(0);
    expect((await cli(['apply', '-f', '-'], command('/bin/sh'))).err).toMatch(
      /stdin:4:27: 'program' is the name of a file/,
    );
    await agent.until(agent.say(fired('a program is told', { rule: 'only-told' })));
    const told = await eventually(
      async () => {
        const { out } = await cli(['notifications', '--subscription', 'told', '--state', 'sent', '-o', 'json']);
        return JSON.parse(out)[0];
      },
      { what: 'the program to be told' },
    );
    expect(told).toMatchObject({ channelKind: 'command', answer: 'exit 0', title: 'it happened: only-told on web-1' });
  });
});

describe('what cannot be delivered', () => {
  it('is on the list of the dead with the reason, and is sent again when somebody says so', async () => {
    let refuse = true;
    const smtp = await mailServer({
      beforeAccept() {
        if (refuse) throw Object.assign(new Error('this looks like spam'), { responseCode: 554 });
      },
    });
    await cli(['apply', '-f', '-'], declarations(smtp.port));
    await agent.until(agent.say(fired('refused', { rule: 'refused' })));
    const dead = await eventually(
      async () => JSON.parse((await cli(['notifications', 'list', '--state', 'dead', '-o', 'json'])).out)[0],
      { what: 'the dead letter' },
    );
    expect(dead).toMatchObject({
      state: 'dead',
      reason: '554 this looks like spam',
      title: 'it happened: refused on web-1',
    });
    expect(JSON.parse((await cli(['channels', '-o', 'json'])).out)).toContainEqual(
      expect.objectContaining({ name: 'mail', dead: 1 }),
    );
    refuse = false;
    expect(await cli(['notifications', 'retry', dead.id])).toMatchObject({
      code: 0,
      out: '1 notification will be sent again, now\n',
    });
    const [mail] = await smtp.received(1);
    expect(mail?.messageId).toBe(`<${dead.id}@example.com>`);
    expect(await cli(['notifications', 'retry', 'nothing'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/NOTIFICATION_UNKNOWN/),
    });
    const audit = JSON.parse((await cli(['audit', '-o', 'json'])).out);
    expect(audit).toContainEqual(expect.objectContaining({ action: 'notification.retry', object: dead.id }));
  });

  it('because the mail server is away, arrives once it is back, in order, once', async () => {
    const smtp = await mailServer();
    await cli(['apply', '-f', '-'], declarations(smtp.port));
    await smtp.close();
    await agent.until(
      agent.say(became('warning'), became('critical'), fired('other', { rule: 'while-away' }), became('healthy')),
    );
    await eventually(
      async () =>
        JSON.parse((await cli(['channels', '-o', 'json'])).out).some(
          (c: { name: string; fault: string | null }) => c.name === 'mail' && c.fault !== null,
        ),
      {
        what: 'the channel to be seen as away',
      },
    );
    expect((await cli(['channels'])).out).toMatch(/mail +smtp +away/);
    const back = await mailServer({ port: smtp.port });
    await back.received(4, 40_000);
    expect(back.mails.filter(({ subject }) => subject.includes('disk')).map(({ subject }) => subject)).toEqual([
      '[warning] the disk is warning on web-1',
      '[now critical] the disk is critical on web-1',
      '[closed] the disk is critical on web-1',
    ]);
    expect(back.mails).toHaveLength(4);
  });
});

describe('what is declared', () => {
  it('is refused as a whole with the place of each mistake, and nothing changes', async () => {
    const before = (await cli(['get', 'channels', '-o', 'yaml'])).out;
    const broken = `${declarations(25).replace('host: localhost', 'hots: localhost')}  unknown: 1\n`;
    const { code, err } = await cli(['apply', '-f', '-'], broken);
    expect(code).toBe(2);
    expect(err).toMatch(/\[DECLARED_INVALID\] stdin:8:5: unknown field 'hots' in 'smtp'; did you mean 'host'\?/);
    expect(err).toMatch(/stdin:8:5: 'smtp' needs 'host'/);
    expect(err).toMatch(/unknown field 'unknown' in the subscription/);
    expect((await cli(['get', 'channels', '-o', 'yaml'])).out).toBe(before);
  });

  it('is shown as it was written, can be applied from a folder again, and cannot be deleted while it is needed', async () => {
    const { out } = await cli(['get', 'channel', 'mail']);
    expect(out).toMatch(/^# Mails of the operators\.\napiVersion/);
    const folder = join(server.dir, 'declared');
    mkdirSync(folder);
    writeFileSync(join(folder, 'mail.yaml'), out);
    expect((await cli(['apply', '-f', folder])).out).toBe('Channel/mail unchanged\n');
    expect(await cli(['delete', 'channel', 'mail'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/needed by Subscription\/operators/),
    });
    expect((await cli(['subscriptions'])).out).toMatch(
      /operators +on +warning +test\/disk,\S* +mail +ops@example\.com/,
    );
    expect((await cli(['get'])).out).toMatch(/Channel +channels/);
  });

  it('shows no secret anywhere', async () => {
    const shown = await Promise.all(
      [
        ['get', 'channels', '-o', 'json'],
        ['channels', '-o', 'json'],
        ['audit', '-n', '500', '-o', 'json'],
        ['notifications', '-o', 'json'],
      ].map((args) => cli(args)),
    );
    const { body } = await server.http('/metrics');
    const everything = [...shown.flatMap(({ out, err }) => [out, err]), body, ...server.process.lines].join('\n');
    expect(everything).toContain('OPENLINE_SECRET_SMTP');
    expect(everything).not.toContain(PASSWORD);
    expect(everything).not.toContain(Buffer.from(PASSWORD).toString('base64').slice(0, 20));
  });
});
