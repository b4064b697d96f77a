import { describe, expect, it } from 'vitest';
import { selfSigned } from '../api/testing.ts';
import { readFiles } from '../declared/read.ts';
import { createDeclaredRegistry } from '../declared/registry.ts';
import { channelKind } from './channels/channel-kind.ts';
import { subscriptionKind } from './subscriptions/subscription-kind.ts';

const { certificatePem } = await selfSigned('localhost');

/** A document of this kind: its spec, or what is wrong with it. */
function read(kind: 'Channel' | 'Subscription', spec: string) {
  const registry = createDeclaredRegistry();
  const channels = registry.register(channelKind);
  const subscriptions = registry.register(subscriptionKind);
  const text = `apiVersion: openline.dev/v1\nkind: ${kind}\nmetadata: {name: x}\nspec:\n  ${spec.trim().replaceAll('\n', '\n  ')}\n`;
  const { documents, problems } = readFiles(registry, [{ name: 'f.yaml', content: Buffer.from(text) }]);
  const [document] = documents;
  const at = new Date(0);
  for (const entry of registry.all()) {
    entry.load(document?.entry === entry ? [{ name: 'x', parsed: document.parsed, updatedBy: '', updatedAt: at }] : []);
  }
  return {
    channel: channels.get('x')?.spec,
    subscription: subscriptions.get('x')?.spec,
    problems: problems(),
    parsed: document?.parsed,
  };
}
const problemsOf = (kind: 'Channel' | 'Subscription', spec: string) => read(kind, spec).problems;

describe('a channel', () => {
  it('of a mail server needs little, and uses TLS unless it is told otherwise', () => {
    expect(read('Channel', 'smtp: {host: mail.example.com, from: Openline <a@example.com>}').channel).toEqual({
      target: {
        kind: 'smtp',
        host: 'mail.example.com',
        port: 587,
        tls: 'starttls',
        ca: undefined,
        auth: undefined,
        from: { name: 'Openline', address: 'a@example.com' },
        replyTo: undefined,
      },
      concurrency: 4,
      rate: undefined,
      timeoutMs: 60_000,
      giveUpAfterMs: 3 * 24 * 3_600_000,
      whenUncertain: 'keep',
      templates: {},
    });
    expect(read('Channel', 'smtp: {host: m, port: 465, from: a@b}').channel?.target).toMatchObject({
      tls: 'tls',
      port: 465,
    });
    expect(read('Channel', 'smtp: {host: m, tls: tls, from: a@b}').channel?.target).toMatchObject({ port: 465 });
  });

  it('says all that it can', () => {
    const ca = certificatePem.trim().replaceAll('\n', '\n    ');
    const { channel, problems } = read(
      'Channel',
      `webhook:
  url: https://example.com/hook
  headers: {Authorization: {env: OPENLINE_SECRET_TOKEN}, X-Team: ops}
  sign: {secret: {file: hook-key}}
  followRedirects: true
  ca: |
    ${ca}
concurrency: 2
rate: 60/m
timeout: 5s
giveUpAfter: 1h
whenUncertain: keep
templates: {body: '{"text": "{{headline}}"}'}`,
    );
    expect(problems).toEqual([]);
    expect(channel).toMatchObject({
      target: {
        kind: 'webhook',
        headers: new Map<string, unknown>([
          ['Authorization', { from: 'env', name: 'OPENLINE_SECRET_TOKEN' }],
          ['X-Team', 'ops'],
        ]),
        signWith: { from: 'file', path: 'hook-key' },
        followRedirects: true,
      },
      rate: { messages: 60, perMs: 60_000 },
      timeoutMs: 5_000,
      whenUncertain: 'keep',
    });
    expect(read('Channel', 'slack: {url: {env: OPENLINE_SECRET_SLACK}}').problems).toEqual([]);
    expect(read('Channel', 'teams: {url: {file: teams}}').problems).toEqual([]);
    expect(
      read('Channel', 'alertmanager: {url: http://am:9093, labels: {team: ops}, resend: 30s}').channel?.whenUncertain,
    ).toBe('resend');
    expect(read('Channel', 'command: {program: tell.sh, args: [--to, ops]}').channel?.target).toMatchObject({
      args: ['--to', 'ops'],
    });
  });

  it.each([
    ['{}', 'f.yaml:5:3: a channel is one of smtp, webhook, slack, teams, alertmanager, command; this one is none'],
    ['smtp: {host: m, from: a@b}\nslack: {url: {env: OPENLINE_SECRET_X}}', /this one is smtp and slack/],
    ['smpt: {}', /5:3: unknown field 'smpt' in the channel; did you mean 'smtp'\?/],
    ['smtp: {host: m, from: a@b, port: 70000}', "f.yaml:5:36: 'port' must be a whole number from 1 to 65535"],
    ['smtp: {host: m, from: "a@b\\r\\nBcc: c@d"}', /5:25: 'from' must be an address/],
    [
      'smtp: {host: m, from: a@b, auth: {user: u, password: hunter2}}',
      /5:56: 'password' is a secret: say where it is found/,
    ],
    [
      'smtp: {host: m, from: a@b, auth: {user: u, password: {env: PATH}}}',
      /'env' must name a variable that begins with OPENLINE_SECRET_/,
    ],
    ['smtp: {host: m, tls: none, from: a@b, auth: {user: u, password: {file: x}}}', /password in the clear/],
    ['webhook: {url: "ftp://x"}', /must begin with https/],
    ['webhook: {url: "https://u:p@x"}', /must not hold a password/],
    ['webhook: {url: https://x, headers: {Host: y}}', /the header 'Host' is set by the server/],
    ['webhook: {url: https://x, headers: {"a b": y}}', /no name of a header/],
    ['webhook: {url: https://x, headers: {A: "x\\ny"}}', /one line/],
    ['slack: {url: https://hooks.slack.com/x}', /'url' is a secret/],
    ['command: {program: ../evil}', /without a path/],
    ['command: {program: /bin/sh}', /without a path/],
    ['smtp: {host: m, from: a@b}\nrate: many', /'rate' says how many/],
    ['smtp: {host: m, from: a@b}\nca: x', /unknown field 'ca'/],
    ['smtp: {host: m, from: a@b, ca: nonsense}', /certificates in PEM/],
    ['smtp: {host: m, from: a@b}\ntemplates: {body: x}', /a channel of the kind smtp has no template 'body'/],
    [
      'smtp: {host: m, from: a@b}\ntemplates: {subject: "x {{alert.titel}}"}',
      "f.yaml:6:27: 'subject': 'alert' has no 'titel'; did you mean 'title'?",
    ],
    ['smtp: {host: m, from: a@b}\ntemplates: {html: "{{{alert.title}}}"}', /6:22: 'html': values are always escaped/],
    [
      'smtp: {host: m, from: a@b}\ntemplates:\n  text: |\n    one\n    {{#items}}',
      /'text', its line 2, column 11|'text', its line 3, column 1/,
    ],
    [
      'webhook: {url: https://x}\ntemplates: {body: "{ {{headline}} }"}',
      /'body' gives no JSON for an alert that is opened/,
    ],
  ])('like %j is refused with its place', (spec, problem) => {
    const problems = problemsOf('Channel', spec);
    if (typeof problem === 'string') expect(problems).toContain(problem);
    else expect(problems.join('\n')).toMatch(problem);
    expect(problems.join()).not.toContain('hunter2');
  });
});

describe('a subscription', () => {
  it('needs only channels, and hears of everything', () => {
    const { subscription, problems } = read('Subscription', 'send: [{channel: mail, to: [b@x, a@x, b@x]}]');
    expect(problems).toEqual([]);
    expect(subscription).toMatchObject({
      enabled: true,
      criteria: { severity: 'information', watches: [], agents: undefined, where: undefined },
      steps: [{ afterMs: 0, unless: 'closed', send: [{ channel: 'mail', to: ['a@x', 'b@x'] }] }],
      followUps: new Set(['severity', 'closed']),
      timeZone: 'UTC',
    });
  });

  it('says all that it can', () => {
    const { subscription, problems, parsed } = read(
      'Subscription',
      `enabled: false
timeZone: Europe/Berlin
criteria: {severity: warning, watches: [linux/*], kinds: [monitor, rule], agents: 'role=web,!gpu', where: 'alert.count > 1'}
send: [{channel: mail, to: ops@example.com}, {channel: chat}]
after: 10m
unless: acknowledged
followUps: []
escalation:
  - after: 30m
    send: [{channel: pager}]
reminder: {every: 1h, unless: acknowledged}
schedule: {days: [mon-fri, sun], hours: [08:00-18:00, 22:00-06:00], holidays: [2026-12-25], outside: skip}
templates: {subject: '{{headline}}'}`,
    );
    expect(problems).toEqual([]);
    expect(subscription).toMatchObject({
      enabled: false,
      steps: [
        { afterMs: 600_000, unless: 'acknowledged' },
        { afterMs: 1_800_000, unless: 'acknowledged', send: [{ channel: 'pager', to: [] }] },
      ],
      followUps: new Set(),
      reminder: { everyMs: 3_600_000, unless: 'acknowledged' },
      schedule: {
        timeZone: 'Europe/Berlin',
        days: new Set([0, 1, 2, 3, 4, 6]),
        hours: [
          { fromMs: 28_800_000, toMs: 64_800_000 },
          { fromMs: 79_200_000, toMs: 21_600_000 },
        ],
        holidays: new Set([20_812]),
        outside: 'skip',
      },
    });
    expect(parsed?.references.map(({ name }) => name)).toEqual(['mail', 'chat', 'pager']);
    expect(
      read('Subscription', 'send: [{channel: a}]\ndigest: {at: ["08:00", "16:30"], timeZone: UTC}').subscription
        ?.digest,
    ).toEqual({
      kind: 'at',
      timesMs: [28_800_000, 59_400_000],
      timeZone: 'UTC',
    });
  });

  it.each([
    ['enabled: true', /the subscription needs 'send'/],
    ['send: []', /'send' is empty/],
    ['send: [{channel: mail, to: [nobody]}]', /5:31: 'to' must be mail addresses/],
    ['send: [{channel: mail, to: ["a@x\\nb@x"]}]', /'to' must be mail addresses/],
    ['send: [{channel: a}]\ncriteria: {severity: bad}', /'severity' must be one of information, warning, critical/],
    [
      'send: [{channel: a}]\ncriteria: {agents: "role=web,,"}',
      /6:32: 'agents' is no target expression: expected a label/,
    ],
    [
      'send: [{channel: a}]\ncriteria: {where: "alert.titel == 1"}',
      /6:28: 'where': an alert has no 'titel'; did you mean 'title'/,
    ],
    ['send: [{channel: a}]\ncriteria: {where: alert.count}', /this gives int, where true or false is needed/],
    ['send: [{channel: a}]\nunless: closed', /'unless' has a meaning only with 'after'/],
    ['send: [{channel: a}]\nafter: soon', /'after' must be a time from 1s to 30d/],
    ['send: [{channel: a}]\nschedule: {hours: [08:00-18:00]}', /'schedule' needs 'timeZone'/],
    [
      'send: [{channel: a}]\ntimeZone: Mars/Olympus\nschedule: {hours: [08:00-18:00]}',
      /^[^\n]*'Mars\/Olympus' is no time zone[^\n]*$/,
    ],
    ['send: [{channel: a}]\nschedule: {timeZone: Mars/Olympus}', /'Mars\/Olympus' is no time zone/],
    ['send: [{channel: a}]\nschedule: {timeZone: UTC, hours: [8-18]}', /'hours' are spans such as 08:00-18:00/],
    ['send: [{channel: a}]\nschedule: {timeZone: UTC, days: [someday]}', /'days' are mon, tue/],
    ['send: [{channel: a}]\nschedule: {timeZone: UTC, holidays: [2026-02-30]}', /'holidays' are dates/],
    ['send: [{channel: a}]\ndigest: {every: 15m}\nafter: 1m', /7:3: a 'digest' tells what happened/],
    ['send: [{channel: a}]\ndigest: {}', /'digest' needs either 'every' or 'at'/],
    ['send: [{channel: a}]\nfollowUps: [repeated]', /'followUps' are severity/],
    ['send: [{channel: a}]\ntemplates: {text: "{{>evil}}"}', /cannot include another one/],
    ['send: [{channel: a}]\ntemplates: {text: "{{=<% %>=}}"}', /cannot use/],
    ['send: [{channel: a}]\ntemplates: {text: "{{#items}}{{#items}}x{{/items}}{{/items}}"}', /'items' is open already/],
    ['send: [{channel: a}]\ntemplates: {text: "{{items}}"}', /'items' is no text; open it/],
    ['send: [{channel: a}]\ntemplates: {text: "{{constructor}}"}', /there is no 'constructor' here/],
    ['send: [{channel: a}]\ntemplates: {text: "{{alert.title.length}}"}', /'alert.title' has no 'length'/],
  ])('like %j is refused with its place', (spec, problem) => {
    expect(problemsOf('Subscription', spec).join('\n')).toMatch(problem);
  });
});
