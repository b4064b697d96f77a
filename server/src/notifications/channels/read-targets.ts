import { X509Certificate } from 'node:crypto';
import { booleanOf, choiceOf, durationOf, entriesOf, fieldsOf, integerOf, need, textOf } from '@openline/packs/read';
import type { Entry, Located, Report } from '@openline/packs/source';
import { lineOf, textsOf } from '../../declared/readers.ts';
import { readSecretRef, type SecretRef } from '../../declared/secrets.ts';
import { isAddress, parseMailbox } from './addresses.ts';
import type {
  AlertmanagerTarget,
  ChatTarget,
  CommandTarget,
  HttpTarget,
  SmtpTarget,
  WebhookTarget,
} from './channel.ts';

const HOST = /^[A-Za-z0-9._:-]{1,253}$/;
const HEADER = /^[A-Za-z0-9-]{1,100}$/;
/** What the request itself needs to say, or what names its sender. */
const OWN_HEADERS = new Set([
  'host',
  'content-length',
  'content-type',
  'transfer-encoding',
  'connection',
  'user-agent',
]);
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]{0,100}$/;
const PROGRAM = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,100}$/;
const MAX_HEADERS = 20;
const MAX_URL_CHARS = 2_000;

export function readSmtp(report: Report, node: Located): SmtpTarget | undefined {
  const known = ['host', 'port', 'tls', 'ca', 'auth', 'from', 'replyTo'] as const;
  const fields = fieldsOf(report, node, "'smtp'", known);
  const host = matching(report, need(report, node.at, fields.host?.value, "'smtp' needs 'host'"), "'host'", HOST);
  const givenPort = integerOf(report, fields.port?.value, "'port'", 1, 65_535);
  const givenTls = choiceOf(report, fields.tls?.value, "'tls'", ['starttls', 'tls', 'none']);
  const tls = givenTls ?? (givenPort === 465 ? 'tls' : 'starttls');
  const auth = readAuth(report, fields.auth?.value);
  if (auth !== undefined && tls === 'none') {
    report.add(fields.auth?.keyAt ?? node.at, "'auth' would send the password in the clear with 'tls: none'");
  }
  const fromNode = need(report, node.at, fields.from?.value, "'smtp' needs 'from', the address that mails come from");
  const fromText = textOf(report, fromNode, "'from'", 400);
  const from = fromText === undefined ? undefined : parseMailbox(fromText);
  if (fromText !== undefined && from === undefined) {
    report.add(
      fromNode?.at ?? node.at,
      "'from' must be an address, such as alerts@example.com or Name <alerts@example.com>",
    );
  }
  const replyTo = addressOf(report, fields.replyTo?.value, "'replyTo'");
  const ca = readCa(report, fields.ca?.value);
  if (host === undefined || from === undefined) return undefined;
  return { kind: 'smtp', host, port: givenPort ?? (tls === 'tls' ? 465 : 587), tls, ca, auth, from, replyTo };
}

function readAuth(report: Report, node: Located | undefined): SmtpTarget['auth'] {
  if (node === undefined) return undefined;
  const fields = fieldsOf(report, node, "'auth'", ['user', 'password']);
  const user = lineOf(report, need(report, node.at, fields.user?.value, "'auth' needs 'user'"), "'user'", 254);
  const password = need(report, node.at, fields.password?.value, "'auth' needs 'password'");
  const secret = readSecretRef(report, password, "'password'");
  return user === undefined || secret === undefined ? undefined : { user, password: secret };
}

export function addressOf(report: Report, node: Located | undefined, what: string): string | undefined {
  const text = textOf(report, node, what, 254);
  if (text === undefined || node === undefined || isAddress(text)) return text;
  report.add(node.at, `${what} must be a mail address, such as oncall@example.com`);
  return undefined;
}

export function readWebhook(report: Report, node: Located): WebhookTarget | undefined {
  const fields = fieldsOf(report, node, "'webhook'", ['url', 'headers', 'sign', 'ca', 'followRedirects']);
  const http = readHttp(report, node, "'webhook'", fields, 'open');
  const sign = fields.sign === undefined ? undefined : fieldsOf(report, fields.sign.value, "'sign'", ['secret']);
  const secretNode =
    sign === undefined ? undefined : need(report, fields.sign?.keyAt ?? 0, sign.secret?.value, "'sign' needs 'secret'");
  const signWith = readSecretRef(report, secretNode, "'secret'");
  return http && { kind: 'webhook', ...http, signWith };
}

/** Who knows the URL of a chat can write to it, so it is a secret. */
export function readChat(report: Report, node: Located, kind: ChatTarget['kind']): ChatTarget | undefined {
  const what = `'${kind}'`;
  const http = readHttp(report, node, what, fieldsOf(report, node, what, ['url', 'ca']), 'secret');
  return http && { kind, ...http };
}

export function readAlertmanager(report: Report, node: Located): AlertmanagerTarget | undefined {
  const known = ['url', 'headers', 'ca', 'followRedirects', 'labels', 'resend'] as const;
  const fields = fieldsOf(report, node, "'alertmanager'", known);
  const http = readHttp(report, node, "'alertmanager'", fields, 'open');
  const labels = new Map<string, string>();
  for (const [name, { keyAt, value }] of entriesOf(report, fields.labels?.value, "'labels'")) {
    if (!LABEL.test(name)) report.add(keyAt, `'${name}' is no name for a label of Prometheus`);
    labels.set(name, textOf(report, value, `'${name}'`, 1_000) ?? '');
  }
  const resendMs = durationOf(report, fields.resend?.value, "'resend'", { min: 10_000, max: 3_600_000 }) ?? 60_000;
  return http && { kind: 'alertmanager', ...http, labels, resendMs };
}

export function readCommand(report: Report, node: Located): CommandTarget | undefined {
  const fields = fieldsOf(report, node, "'command'", ['program', 'args']);
  const programNode = need(report, node.at, fields.program?.value, "'command' needs 'program'");
  const program = textOf(report, programNode, "'program'", 100);
  if (program !== undefined && !PROGRAM.test(program)) {
    report.add(
      programNode?.at ?? node.at,
      "'program' is the name of a file in the server's directory of commands (notifyCommands), without a path",
    );
    return undefined;
  }
  const args = textsOf(report, fields.args?.value, "'args'", 50, 4_096).map(({ text }) => text);
  return program === undefined ? undefined : { kind: 'command', program, args };
}

type HttpFields = { readonly [K in 'url' | 'headers' | 'ca' | 'followRedirects']?: Entry };

function readHttp(
  report: Report,
  node: Located,
  what: string,
  fields: HttpFields,
  urlIs: 'open' | 'secret',
): HttpTarget | undefined {
  const urlNode = need(report, node.at, fields.url?.value, `${what} needs 'url'`);
  const url =
    urlIs === 'open' && urlNode?.kind === 'scalar' ? urlOf(report, urlNode) : readSecretRef(report, urlNode, "'url'");
  const followRedirects = booleanOf(report, fields.followRedirects?.value, "'followRedirects'") ?? false;
  const ca = readCa(report, fields.ca?.value);
  const headers = readHeaders(report, fields.headers?.value);
  return url === undefined ? undefined : { url, headers, ca, followRedirects };
}

function urlOf(report: Report, node: Located): string | undefined {
  const text = textOf(report, node, "'url'", MAX_URL_CHARS);
  if (text === undefined) return undefined;
  const problem = urlProblem(text);
  if (problem === undefined) return text;
  report.add(node.at, `'url' ${problem}`);
  return undefined;
}

/** @returns what is wrong with it as the target of a request; never the URL itself */
export function urlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is no URL, such as https://example.com/hook';
  const { protocol, username, password } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') return 'must begin with https:// or http://';
  if (username !== '' || password !== '') return "must not hold a password; give it in 'headers', as a secret";
  return undefined;
}

function readHeaders(report: Report, node: Located | undefined): Map<string, string | SecretRef> {
  const headers = new Map<string, string | SecretRef>();
  const entries = entriesOf(report, node, "'headers'");
  if (node !== undefined && entries.size > MAX_HEADERS)
    report.add(node.at, `at most ${MAX_HEADERS} headers are allowed`);
  for (const [name, { keyAt, value }] of entries) {
    if (!HEADER.test(name)) report.add(keyAt, `'${name}' is no name of a header`);
    else if (OWN_HEADERS.has(name.toLowerCase()) || /^x-openline-/i.test(name)) {
      report.add(keyAt, `the header '${name}' is set by the server`);
    }
    const given =
      value.kind === 'map' ? readSecretRef(report, value, `'${name}'`) : lineOf(report, value, `'${name}'`, 4_096);
    if (given !== undefined) headers.set(name, given);
  }
  return headers;
}

/** Certificates are public: they stand in the file itself. */
function readCa(report: Report, node: Located | undefined): string | undefined {
  const text = textOf(report, node, "'ca'", 100_000);
  if (text === undefined || node === undefined) return undefined;
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch {
    blocks.length = 0;
  }
  if (blocks.length > 0) return text;
  report.add(node.at, "'ca' must be certificates in PEM (-----BEGIN CERTIFICATE-----)");
  return undefined;
}

function matching(report: Report, node: Located | undefined, what: string, pattern: RegExp): string | undefined {
  const text = textOf(report, node, what, 253);
  if (text === undefined || node === undefined || pattern.test(text)) return text;
  report.add(node.at, `${what} is no host name or address`);
  return undefined;
}
