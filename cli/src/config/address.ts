import { DEFAULT_OPERATOR_PORT } from '@openline/proto/limits';
import { CliError } from '../failure.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  /** host:port, as gRPC and people write it. */
  readonly text: string;
}

/**
 * "host", "host:port", "[::1]:5724", "https://host:port".
 * @throws CliError CONFIG_INVALID naming where it came from
 */
export function parseAddress(text: string, from: string): Address {
  const bare = text
    .trim()
    .replace(/^(https|grpcs?):\/\//, '')
    .replace(/\/$/, '');
  const match = /^(\[[0-9a-fA-F:.%\w]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(bare);
  const host = match?.[1];
  const port = match?.[2] === undefined ? DEFAULT_OPERATOR_PORT : Number(match[2]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new CliError(
      'CONFIG_INVALID',
      `the server address «${text}» (${from}) cannot be read`,
      'Write it as HOST or HOST:PORT.',
    );
  }
  return { host: host.replace(/^\[|\]$/g, ''), port, text: `${host}:${port}` };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
