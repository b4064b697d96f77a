import { isIP } from 'node:net';

/** The notations of the configuration. Each returns undefined for what it cannot read: the caller knows the key to name. */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** "250ms", "15s", "10m", "1.5h", "7d" → whole milliseconds. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text.trim());
  if (match === null) return undefined;
  const [, amount, unit] = match;
  if (unit !== 'ms' && unit !== 's' && unit !== 'm' && unit !== 'h' && unit !== 'd') return undefined;
  const ms = Math.round(Number(amount) * UNIT_MS[unit]);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest exact notation: 90000 → "90s", 3600000 → "1h". */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms !== 0 && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}

export interface Subnet {
  readonly address: string;
  readonly prefix: number;
}

/** "10.0.0.0/8", "fd00::/8", or one address. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = '', bits, more] = text.trim().split('/');
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  return family === 0 || more !== undefined || !(prefix <= most) ? undefined : { address, prefix };
}
