import { afterEach, describe, expect, it } from 'vitest';
import { withTestDatabase } from '../db/testing.ts';
import { inTransaction } from '../db/transaction.ts';
import { startHttpServer } from './testing/http-server.ts';
import { type MailServer, type MailServerOptions, startMailServer } from './testing/mail-server.ts';
import { ADMIN, mailChannel, raiseOf, setUpNotifications, subjectOf, subscription, TO_OPS } from './testing/set-up.ts';

const db = withTestDatabase();
const MIN = 60_000;
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function setUp(over: Parameters<typeof setUpNotifications>[1] = {}) {
  const made = await setUpNotifications(db, over);
  open.push(() => made.stop());
  await made.start();
  return made;
}
async function mailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const started = await startMailServer(options);
  open.push(() => started.close());
  return started;
}
const states = async () =>
  (
    await db.pool.query<{ kind: string; state: string; reason: string }>(
      'select kind, state, reason from notifications order by seq',
    )
  ).rows;
const subjects = ({ mails }: Pick<MailServer, 'mails'>) => mails.map(({ subject }) => subject);
const settled = (count: number) =>
  expect
    .poll(
      async () =>
        (await states()).filter(({ state }) => !['pending', 'sending', 'handing_over'].includes(state)).length,
      { timeout: 25_000 },
    )
    .toBe(count);

describe('an alert', () => {
  it('is a mail, and its end is another one in the same thread; repeats are none', async () => {
    const smtp = await mailServer();
    const { apply, raise, close } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('all', TO_OPS));
    await raise('a');
    await raise('a');
    await close('a');
    const [first, last] = await smtp.received(2);
    expect(subjects(smtp)).toEqual(['[warning] title a on agents of a', '[closed] title a on agents of a']);
    expect(last?.headers.get('in-reply-to')).toBe(first?.messageId);
    await settled(2);
    expect(await states()).toEqual([
      { kind: 'opened', state: 'sent', reason: '' },
      { kind: 'closed', state: 'sent', reason: '' },
    ]);
    const { rows } = await db.pool.query('select * from notification_threads');
    expect(rows).toEqual([]);
  });

  it('that nobody subscribes to is told to nobody, and neither is its end', async () => {
    const smtp = await mailServer();
    const { apply, raise, close } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('critical', `criteria: {severity: critical}\n${TO_OPS}`));
    await raise('a');
    await close('a');
    expect(await states()).toEqual([]);
  });

  it('is told in the transaction that raises it, or not at all', async () => {
    const smtp = await mailServer();
    const { apply, desk } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('all', TO_OPS));
    const failed = inTransaction(db.pool, async (tx) => {
      await desk.apply([raiseOf('a')], tx);
      throw new Error('and then something went wrong');
    });
    await expect(failed).rejects.toThrow('something went wrong');
    expect(await states()).toEqual([]);
  });

  it('of which everything happens in one transaction is told in its order', async () => {
    const smtp = await mailServer();
    const { apply, desk } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('all', TO_OPS));
    await desk.apply([
      raiseOf('a'),
      raiseOf('a', { severity: 'critical' }),
      { kind: 'close', subject: subjectOf('a'), by: 'x', comment: 'over' },
      raiseOf('b'),
    ]);
    await smtp.received(4);
    expect(subjects(smtp).filter((subject) => subject.includes('title a'))).toEqual([
      '[warning] title a on agents of a',
      '[now critical] title a on agents of a',
      '[closed] title a on agents of a',
    ]);
  });

  it('in numbers costs a handful of statements', async () => {
    const smtp = await mailServer();
    const { apply, desk } = await setUp();
    await apply(
      mailChannel(smtp.port) +
        subscription('all', TO_OPS) +
        subscription('more', 'send: [{channel: mail, to: [more@example.com]}]'),
    );
    let statements = 0;
    await inTransaction(db.pool, async (tx) => {
      const counted = {
        ...tx,
        query: ((...args: Parameters<typeof tx.query>) => {
          statements++;
          return tx.query(...args);
        }) as typeof tx.query,
      };
      await desk.apply(
        Array.from({ length: 50 }, (_, i) => raiseOf(`k${i}`)),
        counted,
      );
    });
    expect(statements).toBeLessThan(15);
    await smtp.received(100);
    expect(new Set(smtp.mails.map(({ messageId }) => messageId)).size).toBe(100);
  });
});

describe('a subscription', () => {
  it('that wants only what lasts hears nothing of what is over before, nor of its end', async () => {
    const smtp = await mailServer();
    const { apply, raise, close, pass } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('slow', `after: 10m\n${TO_OPS}`));
    await raise('short');
    await raise('long');
    await close('short');
    pass(10 * MIN);
    await smtp.received(1);
    await close('long');
    await smtp.received(2);
    expect(subjects(smtp)).toEqual(['[warning] title long on agents of long', '[closed] title long on agents of long']);
    expect((await states()).map(({ state, reason }) => [state, reason])).toContainEqual([
      'cancelled',
      'the alert was closed before it was due',
    ]);
  });

  it('escalates to others what nobody takes on, and tells them the end only if they were told', async () => {
    const smtp = await mailServer();
    const { apply, raise, close, pass, desk } = await setUp();
    const escalation = `escalation: [{after: 30m, send: [{channel: mail, to: [boss@example.com]}]}]`;
    await apply(mailChannel(smtp.port) + subscription('oncall', `${TO_OPS}\n${escalation}`));
    const taken = await raise('taken');
    await raise('left');
    await smtp.received(2);
    await inTransaction(db.pool, (tx) => desk.command([taken.id], 'bob', { kind: 'acknowledge', comment: '' }, tx));
    pass(30 * MIN);
    await smtp.received(3);
    await Promise.all([close('taken'), close('left')]);
    await smtp.received(6);
    const told = smtp.mails.map(({ subject, to }) => `${subject} → ${to.join()}`).sort();
    expect(told).toEqual([
      '[closed] title left on agents of left → boss@example.com',
      '[closed] title left on agents of left → ops@example.com',
      '[closed] title taken on agents of taken → ops@example.com',
      '[escalation 1: warning] title left on agents of left → boss@example.com',
      '[warning] title left on agents of left → ops@example.com',
      '[warning] title taken on agents of taken → ops@example.com',
    ]);
  });

  it('reminds of what is open, with what became of it meanwhile, until it is closed', async () => {
    const smtp = await mailServer();
    const { apply, raise, close, pass } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('nag', `reminder: {every: 1h}\n${TO_OPS}`));
    await raise('a');
    await smtp.received(1);
    await raise('a', { times: 4 });
    pass(60 * MIN);
    await smtp.received(2);
    await settled(2);
    pass(60 * MIN);
    await smtp.received(3);
    await settled(3);
    await close('a');
    await smtp.received(4);
    pass(120 * MIN);
    await settled(5);
    expect(subjects(smtp).map((subject) => subject.replace(' title a on agents of a', ''))).toEqual([
      '[warning]',
      '[still open: warning]',
      '[still open: warning]',
      '[closed]',
    ]);
    expect(smtp.mails[1]?.text).toContain('Repeated:  5 times');
  });

  it('gathers what happens into a digest, one mail with all of it', async () => {
    const smtp = await mailServer();
    const { apply, raise, close, pass } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('calm', `digest: {every: 15m}\n${TO_OPS}`));
    for (const key of ['a', 'b', 'c']) await raise(key, { severity: key === 'c' ? 'critical' : 'warning' });
    await close('a');
    expect(await states()).toMatchObject([{ kind: 'digest', state: 'pending' }]);
    pass(15 * MIN);
    const [mail] = await smtp.received(1);
    expect(mail?.subject).toBe('[digest] 3 alerts, 1 critical, 1 closed');
    expect(mail?.text.match(/^- .*$/gm)).toEqual([
      '- [warning] title a on agents of a',
      '- [warning] title b on agents of b',
      '- [critical] title c on agents of c',
      '- [closed] title a on agents of a',
    ]);
    await settled(1);
    await close('b');
    pass(15 * MIN);
    await smtp.received(2);
    expect(smtp.mails[1]?.text).toContain('- [closed] title b');
  });

  it('that is deleted sends nothing more', async () => {
    const smtp = await mailServer();
    const { apply, raise, close, pass, declared } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('slow', `after: 10m\n${TO_OPS}`));
    await raise('a');
    await declared.remove(ADMIN, 'subscriptions', 'slow');
    pass(10 * MIN);
    await close('a');
    expect(await states()).toEqual([{ kind: 'opened', state: 'cancelled', reason: 'the subscription was deleted' }]);
    await declared.remove(ADMIN, 'channels', 'mail');
  });
});

describe('a mail server that is away', () => {
  it('gets every mail once it is back, once, in the order of each alert', async () => {
    const first = await startMailServer();
    const { port } = first;
    const { apply, raise, close, pass, service, logged } = await setUp();
    await apply(mailChannel(port) + subscription('all', TO_OPS));
    await raise('before');
    await first.received(1);
    await first.close();
    for (const key of ['a', 'b', 'c', 'd']) await raise(key);
    for (const key of ['a', 'b', 'before']) await close(key);
    await expect.poll(async () => (await service.channels())[0]?.fault, { timeout: 25_000 }).toMatch(/ECONNREFUSED/);
    expect((await service.channels())[0]).toMatchObject({ pending: 7, dead: 0 });
    pass(60 * MIN);
    const back = await mailServer({ port });
    await back.received(7);
    await settled(8);
    for (const key of ['a', 'b']) {
      expect(subjects(back).filter((subject) => subject.includes(`title ${key} `))).toEqual([
        `[warning] title ${key} on agents of ${key}`,
        `[closed] title ${key} on agents of ${key}`,
      ]);
    }
    expect(new Set(back.mails.map(({ messageId }) => messageId)).size).toBe(7);
    expect((await service.channels())[0]).toMatchObject({ pending: 0, dead: 0, fault: undefined });
    const said = logged.filter(({ channel }) => channel === 'mail').map(({ text }) => text);
    expect(said).toEqual(['a channel is away; its messages wait', 'a channel answers again']);
  });

  it('for longer than a message has time gets it only when somebody asks for it', async () => {
    const gone = await startMailServer();
    await gone.close();
    const { apply, raise, close, pass, service, logged, metrics } = await setUp();
    await apply(mailChannel(gone.port, '  giveUpAfter: 1h') + subscription('all', TO_OPS));
    const alert = await raise('a');
    await expect.poll(async () => (await states())[0]?.reason, { timeout: 25_000 }).toMatch(/ECONNREFUSED/);
    pass(60 * MIN);
    await settled(1);
    expect(await states()).toMatchObject([
      { state: 'dead', reason: expect.stringMatching(/^given up after 1h; last: .*ECONNREFUSED/) },
    ]);
    expect(logged).toContainEqual(
      expect.objectContaining({ alert: alert.id, text: expect.stringMatching(/was given up/) }),
    );
    expect((await metrics.render()).body).toMatch(
      /openline_notifications_total\{channel_kind="smtp",outcome="dead"\} 1/,
    );
    // Nobody was told that it is open.
    await close('a');
    expect(await states()).toHaveLength(1);

    const back = await mailServer({ port: gone.port });
    const [dead] = await service.list(
      { states: ['dead'], channel: undefined, subscription: undefined, alertId: undefined },
      10,
      undefined,
    );
    expect(await service.retry(ADMIN, { ids: [dead?.id ?? ''] })).toBe(1);
    const [mail] = await back.received(1, 15_000);
    expect(mail?.messageId).toBe(`<${dead?.id}@example.com>`);
    await settled(1);
    await expect(service.retry(ADMIN, { ids: [dead?.id ?? ''] })).rejects.toMatchObject({
      code: 'NOTIFICATION_NOT_DEAD',
    });
    await expect(service.retry(ADMIN, { ids: ['nothing'] })).rejects.toMatchObject({ code: 'NOTIFICATION_UNKNOWN' });
  });

  it('is given the messages at once when its channel is corrected', async () => {
    const gone = await startMailServer();
    await gone.close();
    const { apply, raise } = await setUp();
    await apply(mailChannel(gone.port) + subscription('all', TO_OPS));
    await raise('a');
    await expect.poll(async () => (await states())[0]?.reason, { timeout: 25_000 }).toMatch(/ECONNREFUSED/);
    const right = await mailServer();
    await apply(mailChannel(right.port));
    await right.received(1, 3_000);
  });
});

describe('a message', () => {
  it('that may have been taken is not sent again by itself, and is seen', async () => {
    let smtp: MailServer | undefined;
    let crash = true;
    smtp = await startMailServer({ beforeAccept: () => (crash ? new Promise(() => void smtp?.close()) : undefined) });
    const { apply, raise, service, logged, metrics, pass } = await setUp();
    await apply(mailChannel(smtp.port) + subscription('all', TO_OPS));
    await raise('a');
    await settled(1);
    crash = false;
    expect(await states()).toMatchObject([
      { state: 'uncertain', reason: expect.stringMatching(/no answer after the message was handed over/) },
    ]);
    const back = await mailServer({ port: smtp.port });
    pass(60 * MIN);
    await raise('b');
    await back.received(1, 15_000);
    expect(subjects(back)).toEqual(['[warning] title b on agents of b']);
    expect(logged).toContainEqual(expect.objectContaining({ text: expect.stringMatching(/nobody knows/) }));
    expect((await metrics.render()).body).toMatch(/outcome="uncertain"\} 1/);
    await service.retry(ADMIN, { channel: 'mail' });
    await back.received(2);
  });

  it('is served to those who can have it, and the others are on the list of the dead', async () => {
    const smtp = await mailServer({ rejects: { 'gone@example.com': 550 } });
    const { apply, raise, close } = await setUp();
    await apply(
      mailChannel(smtp.port) + subscription('all', 'send: [{channel: mail, to: [ops@example.com, gone@example.com]}]'),
    );
    await raise('a');
    await settled(2);
    const { rows } = await db.pool.query('select state, recipients, reason from notifications order by seq');
    expect(rows).toEqual([
      { state: 'sent', recipients: ['gone@example.com', 'ops@example.com'], reason: '' },
      { state: 'dead', recipients: ['gone@example.com'], reason: 'gone@example.com: 550 no such mailbox' },
    ]);
    await close('a');
    await smtp.received(2);
  });

  it('goes by whatever channels its step names, each by itself', async () => {
    const smtp = await mailServer();
    const hook = await startHttpServer();
    open.push(() => hook.close());
    const channel = `apiVersion: openline.dev/v1\nkind: Channel\nmetadata: {name: hook}\nspec: {webhook: {url: "${hook.url}/x"}}\n---\n`;
    const { apply, raise } = await setUp();
    await apply(
      mailChannel(smtp.port) +
        channel +
        subscription('all', 'send: [{channel: mail, to: [a@example.com]}, {channel: hook}]'),
    );
    await raise('a');
    await Promise.all([smtp.received(1), settled(2)]);
    expect(JSON.parse(hook.asked[0]?.body ?? '')).toMatchObject({
      kind: 'opened',
      alert: { title: 'title a', agent: 'agents of a' },
    });
  });

  it('to a server that answers in numbers keeps to the rate that was declared', async () => {
    const smtp = await mailServer();
    const { apply, desk, pass } = await setUp();
    await apply(mailChannel(smtp.port, '  rate: 5/h') + subscription('all', TO_OPS));
    await desk.apply(Array.from({ length: 12 }, (_, i) => raiseOf(`k${i}`)));
    await smtp.received(5);
    expect(await states().then((all) => all.filter(({ state }) => state === 'pending').length)).toBe(7);
    pass(60 * MIN);
    await smtp.received(10);
    expect(smtp.mails).toHaveLength(10);
  });
});

describe('openline channels test', () => {
  it('sends a marked message now and says what the server answered', async () => {
    const smtp = await mailServer();
    const { apply, service } = await setUp();
    await apply(mailChannel(smtp.port));
    const result = await service.test(ADMIN, 'mail', ['me@example.com']);
    expect(result).toMatchObject({ delivered: true, answer: '250 OK queued as 1' });
    expect(smtp.mails[0]?.subject).toMatch(/^\[test\] /);
    expect(smtp.mails[0]?.text).toContain('This is a test message of Openline. Nothing is wrong.');
    await smtp.close();
    expect(await service.test(ADMIN, 'mail', ['me@example.com'])).toMatchObject({
      delivered: false,
      answer: expect.stringMatching(/ECONNREFUSED/),
    });
    await expect(service.test(ADMIN, 'mail', [])).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await expect(service.test(ADMIN, 'nothing', [])).rejects.toMatchObject({ code: 'DECLARED_UNKNOWN' });
    await expect(service.test(ADMIN, 'maill', [])).rejects.toThrow("no Channel «maill»; did you mean 'mail'?");
  });
});
