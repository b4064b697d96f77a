import { DEFAULT_AGENT_PORT, MAX_LABEL_CHARS } from '@openline/proto/limits';

/** The notations of the configuration. Each returns undefined for what it cannot read: the caller knows the key to name. */

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** "server.example", "server.example:5723", "[::1]:5723", "[::1]". The port is 5723 unless given. */
export function parseServer(text: string): ServerAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/,]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_AGENT_PORT : Number(match[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

const UNIT_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** "65536B", "512KiB", "8MiB", "1GiB" → bytes. */
export function parseBytes(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,12})(B|KiB|MiB|GiB)$/.exec(text.trim()) ?? [];
  if (unit !== 'B' && unit !== 'KiB' && unit !== 'MiB' && unit !== 'GiB') return undefined;
  return Number(amount) * UNIT_BYTES[unit];
}

const LABEL_KEY = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a value must not have
const CONTROL = /[\u0000-\u001f\u007f]/;

export function isLabel(key: string, value: string): boolean {
  return (
    key.length <= MAX_LABEL_CHARS && LABEL_KEY.test(key) && value.length <= MAX_LABEL_CHARS && !CONTROL.test(value)
  );
}
