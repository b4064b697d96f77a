import { createHmac } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { ResolveSecret } from '../../declared/resolve-secret.ts';
import type { SecretRef } from '../../declared/secrets.ts';
import type { ChatTarget, HttpTarget, TemplateTexts, WebhookTarget } from '../channels/channel.ts';
import { urlProblem } from '../channels/read-targets.ts';
import type { Message } from '../message.ts';
import { renderBody, renderChat } from '../templates/render.ts';
import type { AddressGuard } from './address-guard.ts';
import { type HttpAnswer, NoAnswer, post } from './http-request.ts';
import { type Delivery, type Hand, NotHandedOver, reasonOf, type Sender } from './sender.ts';

export interface HttpDeps {
  readonly guard: AddressGuard;
  readonly resolveSecret: ResolveSecret;
  readonly clock: Pick<Clock, 'now'>;
  /** "openline/1.2.3" */
  readonly userAgent: string;
}

/** What is asked of the other side; the URL is the target's. */
export interface Ask {
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Everything that is sent by HTTP. @param ask what is sent; throws when a secret is missing */
export function createHttpSender(
  target: HttpTarget,
  deps: HttpDeps,
  ask: (message: Message, hand: Hand) => Ask,
): Sender {
  return {
    send: (message, hand) => request(target, deps, () => ask(message, hand), hand),
    close() {},
  };
}

/** One request, and what its answer means. */
export async function request(
  target: HttpTarget,
  { guard, resolveSecret, userAgent }: HttpDeps,
  makeAsk: () => Ask,
  { signal, handOver }: Pick<Hand, 'signal' | 'handOver'>,
): Promise<Delivery> {
  try {
    const { path, headers, body } = makeAsk();
    const base = urlOf(target, resolveSecret);
    const answer = await post({
      url: path === undefined ? base : `${base.replace(/\/+$/, '')}${path}`,
      headers: {
        'content-type': 'application/json',
        'user-agent': userAgent,
        ...headersOf(target, resolveSecret),
        ...headers,
      },
      body,
      ca: target.ca,
      followRedirects: target.followRedirects,
      guard,
      signal,
      handOver,
    });
    return verdictOf(answer);
  } catch (error) {
    if (error instanceof NotHandedOver) throw error;
    if (error instanceof NoAnswer)
      return { kind: 'uncertain', reason: `no answer after the message was handed over: ${reasonOf(error)}` };
    return { kind: 'away', reason: reasonOf(error) };
  }
}

function urlOf({ url }: HttpTarget, resolveSecret: ResolveSecret): string {
  if (typeof url === 'string') return url;
  const secret = resolveSecret(url).trim();
  const problem = urlProblem(secret);
  if (problem !== undefined) throw new Error(`the URL of the channel ${problem}`);
  return secret;
}

function headersOf({ headers }: HttpTarget, resolveSecret: (ref: SecretRef) => string): Record<string, string> {
  return Object.fromEntries(
    [...headers].map(([name, value]) => [name, typeof value === 'string' ? value : resolveSecret(value)]),
  );
}

/** What a status says of the message. Pure. */
export function verdictOf({ status, retryAfter, location, body }: HttpAnswer): Delivery {
  const said = body
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 200);
  const reason = `HTTP ${status}${said === '' ? '' : `: ${said}`}`;
  if (status >= 200 && status < 300) return { kind: 'delivered', answer: reason };
  if (status >= 300 && status < 400) {
    return {
      kind: 'away',
      reason: `${reason}; it redirects${location === undefined ? '' : ` to ${originOf(location)}`}, which is not followed`,
    };
  }
  const retryAfterMs = parseRetryAfter(retryAfter);
  const later = retryAfterMs === undefined ? {} : { retryAfterMs };
  // Not now; or we are not known, not allowed, or at the wrong address, which somebody will mend without touching the message.
  if (status === 429 || status >= 500 || [401, 402, 403, 404, 405, 407].includes(status))
    return { kind: 'away', reason, ...later };
  if ([408, 409, 423, 425].includes(status)) return { kind: 'deferred', reason, ...later };
  return { kind: 'refused', reason };
}

function originOf(location: string): string {
  return URL.canParse(location) ? new URL(location).origin : 'somewhere';
}

const MAX_RETRY_AFTER_MS = 3_600_000;

function parseRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,6}$/.test(text)) return undefined;
  return Math.min(Number(text) * 1000, MAX_RETRY_AFTER_MS);
}

const SIGNATURE_HEADER = 'x-openline-signature';
const TIMESTAMP_HEADER = 'x-openline-timestamp';
const DELIVERY_HEADER = 'x-openline-delivery';

/** "v1=" and the HMAC-SHA256, in hex, of the timestamp (Unix seconds), a dot and the body. */
export function sign(secret: string, timestamp: string, body: string): string {
  return `v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`;
}

export function createWebhookSender(target: WebhookTarget, templates: TemplateTexts, deps: HttpDeps): Sender {
  return createHttpSender(target, deps, (message, hand) => {
    const body = renderBody(message, hand.templates, templates);
    const timestamp = String(Math.floor(deps.clock.now().getTime() / 1000));
    const signed = target.signWith && {
      [SIGNATURE_HEADER]: sign(deps.resolveSecret(target.signWith), timestamp, body),
    };
    // The same for each attempt: by it the other side knows what it has had already.
    return { body, headers: { [TIMESTAMP_HEADER]: timestamp, [DELIVERY_HEADER]: message.id, ...signed } };
  });
}

export function createChatSender(target: ChatTarget, templates: TemplateTexts, deps: HttpDeps): Sender {
  return createHttpSender(target, deps, (message, hand) => {
    const text = renderChat(message, target.kind === 'slack' ? 'mrkdwn' : 'none', hand.templates, templates);
    return {
      headers: {},
      body: JSON.stringify(target.kind === 'slack' ? { text: text.slice(0, 3_900) } : adaptiveCard(text)),
    };
  });
}

/** What Teams' incoming webhooks (workflows) take. https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams */
function adaptiveCard(text: string): object {
  const [title = '', ...rest] = text.slice(0, 20_000).split('\n');
  const block = (line: string, style: object) => ({
    type: 'TextBlock',
    wrap: true,
    text: withoutMarkdown(line),
    ...style,
  });
  return {
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          body: [
            block(title, { weight: 'Bolder', size: 'Medium' }),
            ...rest.filter((line) => line.trim() !== '').map((line) => block(line, { spacing: 'Small' })),
          ],
        },
      },
    ],
  };
}

/** Text blocks understand a little Markdown, links among it. */
function withoutMarkdown(text: string): string {
  return text.replace(/([\\*_[\]()~`])/g, '\\$1');
}
