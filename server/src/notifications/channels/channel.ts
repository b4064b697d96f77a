import type { SecretRef } from '../../declared/secrets.ts';

/** Where notifications go, and how: declared as `kind: Channel`. docs/notifications.md is the guide. */
export const CHANNEL_KINDS = ['smtp', 'webhook', 'slack', 'teams', 'alertmanager', 'command'] as const;
export type ChannelKind = (typeof CHANNEL_KINDS)[number];

/** In the place of the built-in ones. Mustache; a subscription may give its own, which win. */
export interface TemplateTexts {
  readonly subject?: string;
  readonly text?: string;
  readonly html?: string;
  /** Of a webhook: JSON. */
  readonly body?: string;
}

export interface SmtpTarget {
  readonly kind: 'smtp';
  readonly host: string;
  readonly port: number;
  /** `starttls`: the connection is upgraded or given up. `none` sends in the clear. */
  readonly tls: 'tls' | 'starttls' | 'none';
  /** PEM; in place of the CAs that the system trusts. */
  readonly ca: string | undefined;
  readonly auth: { readonly user: string; readonly password: SecretRef } | undefined;
  /** Display name (may be empty) and address. */
  readonly from: { readonly name: string; readonly address: string };
  readonly replyTo: string | undefined;
}

/** What all targets that are asked by HTTP have. */
export interface HttpTarget {
  /** A URL that is a secret itself (chats) is a reference. */
  readonly url: string | SecretRef;
  readonly headers: ReadonlyMap<string, string | SecretRef>;
  readonly ca: string | undefined;
  readonly followRedirects: boolean;
}

export interface WebhookTarget extends HttpTarget {
  readonly kind: 'webhook';
  /** The key of the signature; absent: unsigned. */
  readonly signWith: SecretRef | undefined;
}

export interface ChatTarget extends HttpTarget {
  readonly kind: 'slack' | 'teams';
}

export interface AlertmanagerTarget extends HttpTarget {
  readonly kind: 'alertmanager';
  /** Given to every alert, besides its own. */
  readonly labels: ReadonlyMap<string, string>;
  /** How often open alerts are said again, milliseconds: Alertmanager keeps none over a restart. */
  readonly resendMs: number;
}

export interface CommandTarget {
  readonly kind: 'command';
  /** The name of a file in the server's directory of commands. */
  readonly program: string;
  readonly args: readonly string[];
}

export type ChannelTarget = SmtpTarget | WebhookTarget | ChatTarget | AlertmanagerTarget | CommandTarget;

export interface ChannelSpec {
  readonly target: ChannelTarget;
  /** Messages under way at a time, on each replica. */
  readonly concurrency: number;
  /** At most so many messages in each `perMs`, on each replica; absent: no limit. */
  readonly rate: { readonly messages: number; readonly perMs: number } | undefined;
  /** For one message, from connecting to the answer. */
  readonly timeoutMs: number;
  /** A message that could not be delivered for so long is given up. */
  readonly giveUpAfterMs: number;
  /** What becomes of a message of which nobody knows whether it was taken. `keep`: a person decides. */
  readonly whenUncertain: 'keep' | 'resend';
  readonly templates: TemplateTexts;
}

/** Where it goes, for people: never a secret, and of a URL only its beginning. */
export function describeTarget(target: ChannelTarget): string {
  switch (target.kind) {
    case 'smtp':
      return `${target.host}:${target.port}${target.tls === 'none' ? ', in the clear' : ''}`;
    case 'command':
      return target.program;
    case 'webhook':
    case 'slack':
    case 'teams':
    case 'alertmanager':
      return typeof target.url === 'string' ? originOf(target.url) : describeSecret(target.url);
    default:
      return target satisfies never;
  }
}

export function describeSecret(ref: SecretRef): string {
  return ref.from === 'env' ? `(from ${ref.name})` : `(from the file ${ref.path})`;
}

function originOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return pathname === '/' ? origin : `${origin}/…`;
}
